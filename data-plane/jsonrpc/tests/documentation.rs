//! The tables in the documentation are those of the code. `UPDATE_DOCS=1 cargo test -p tyrscale-jsonrpc` writes them.
#![cfg(test)]

use std::path::Path;

use tyrscale_jsonrpc::{Blame, Class, Elsewhere, Exclusion, Lesson, classify};

fn classes() -> String {
    let mut table = "\n| class | again | elsewhere | blame | left alone | lesson | code | status |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    for class in Class::ALL {
        let policy = class.policy();
        let again = if policy.again { "yes" } else { "no" };
        let elsewhere = match policy.elsewhere {
            Elsewhere::Never => "never",
            Elsewhere::IfSafe => "if safe",
            Elsewhere::Always => "yes",
        };
        let blame = match policy.blame {
            Blame::Nobody => "–",
            Blame::Latency => "latency",
            Blame::IfAnotherAnswers => "if another answers",
            Blame::Upstream => "failure",
        };
        let exclusion = match policy.exclusion {
            Exclusion::None => "–",
            Exclusion::Short => "a moment",
            Exclusion::Long => "minutes",
            Exclusion::Removed => "until checked",
        };
        let lesson = match policy.lesson {
            None => "–",
            Some(Lesson::Method) => "method",
            Some(Lesson::Data) => "data",
            Some(Lesson::Size) => "size",
        };
        let code = policy
            .code
            .map_or_else(|| "own".to_owned(), |code| code.to_string());
        let (name, status) = (class.name(), policy.status);
        table.push_str(&format!(
            "| `{name}` | {again} | {elsewhere} | {blame} | {exclusion} | {lesson} | {code} | {status} |\n"
        ));
    }
    table.push('\n');
    table
}

fn rules() -> String {
    let mut table = "\n| rule | class |\n|---|---|\n".to_owned();
    for (name, class) in classify::rules() {
        table.push_str(&format!("| {name} | `{}` |\n", class.name()));
    }
    table.push('\n');
    table
}

#[test]
fn the_documented_tables_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/behaviour.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    let written = page.clone();
    for (name, table) in [("classes", classes()), ("rules", rules())] {
        let start = format!("<!-- {name} -->");
        let from = page.find(&start).unwrap() + start.len();
        let to = page.find(&format!("<!-- end of {name} -->")).unwrap();
        page.replace_range(from..to, &table);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    } else {
        assert!(written == page, "docs/behaviour.md is not what the code says");
    }
}
