//! From text to steps, by recursive descent of bounded depth.
//!
//! ```text
//! comparison = sum [("<" | ">") sum]
//! sum        = product {("+" | "-") product}
//! product    = factor {("*" | "/") factor}
//! factor     = "-" factor | atom ["^" factor]
//! atom       = number | name | name "(" comparison {"," comparison} ")" | "(" comparison ")"
//! ```

use super::{Function, Measure, Step};

/// How deep parentheses and operators may nest.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut parser = Parser {
        rest: text,
        whole: text.len(),
        depth: 0,
        steps: Vec::new(),
    };
    parser.comparison()?;
    match parser.peek() {
        None => Ok(parser.steps),
        Some(_) => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    whole: usize,
    depth: usize,
    steps: Vec<Step>,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        self.peek();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn unexpected(&mut self, wanted: &str) -> String {
        let found = self
            .peek()
            .map_or_else(|| "the end".to_owned(), |character| format!("{character:?}"));
        let place = self.whole - self.rest.len() + 1;
        format!("needs {wanted} at byte {place}, not {found}")
    }

    fn comparison(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("must not nest deeper than {MAX_DEPTH}"));
        }
        self.sum()?;
        for (sign, step) in [('<', Step::Less), ('>', Step::Greater)] {
            if self.take(sign) {
                self.sum()?;
                self.steps.push(step);
                break;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn sum(&mut self) -> Result<(), String> {
        self.product()?;
        loop {
            let step = match self.peek() {
                Some('+') => Step::Add,
                Some('-') => Step::Subtract,
                _ => return Ok(()),
            };
            self.skip();
            self.product()?;
            self.steps.push(step);
        }
    }

    fn product(&mut self) -> Result<(), String> {
        self.factor()?;
        loop {
            let step = match self.peek() {
                Some('*') => Step::Multiply,
                Some('/') => Step::Divide,
                _ => return Ok(()),
            };
            self.skip();
            self.factor()?;
            self.steps.push(step);
        }
    }

    fn skip(&mut self) {
        let mut characters = self.rest.chars();
        characters.next();
        self.rest = characters.as_str();
    }

    fn factor(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("must not nest deeper than {MAX_DEPTH}"));
        }
        if self.take('-') {
            self.factor()?;
            self.steps.push(Step::Negate);
        } else {
            self.atom()?;
            if self.take('^') {
                self.factor()?;
                self.steps.push(Step::Power);
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn atom(&mut self) -> Result<(), String> {
        match self.peek() {
            Some('(') => {
                self.skip();
                self.comparison()?;
                self.close()
            }
            Some('0'..='9' | '.') => self.number(),
            Some('a'..='z') => self.name(),
            _ => Err(self.unexpected("a number, a name or \"(\"")),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        if self.take(')') {
            Ok(())
        } else {
            Err(self.unexpected("\")\""))
        }
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !belongs(character));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn number(&mut self) -> Result<(), String> {
        let word = self.word(|character| character.is_ascii_digit() || character == '.');
        let number: f64 = word.parse().map_err(|_| format!("{word:?} is no number"))?;
        self.steps.push(Step::Number(number));
        Ok(())
    }

    fn name(&mut self) -> Result<(), String> {
        let word = self.word(|character| matches!(character, 'a'..='z' | '0'..='9' | '_'));
        if !self.take('(') {
            let measure: Measure = word.parse().map_err(|_| unknown(word))?;
            self.steps.push(Step::Measure(measure));
            return Ok(());
        }
        let (function, takes) = function(word).ok_or_else(|| unknown(word))?;
        let mut arguments = 1;
        self.comparison()?;
        while self.take(',') {
            self.comparison()?;
            arguments += 1;
        }
        self.close()?;
        if takes.is_some_and(|takes| takes != arguments) {
            return Err(format!(
                "{word} takes {} arguments, not {arguments}",
                takes.unwrap_or_default()
            ));
        }
        self.steps.push(Step::Call(function, arguments));
        Ok(())
    }
}

/// A function and how many arguments it takes; any number but none when it does not matter.
fn function(word: &str) -> Option<(Function, Option<usize>)> {
    Some(match word {
        "min" => (Function::Min, None),
        "max" => (Function::Max, None),
        "or" => (Function::Or, None),
        "abs" => (Function::Abs, Some(1)),
        "sqrt" => (Function::Sqrt, Some(1)),
        "ln" => (Function::Ln, Some(1)),
        "exp" => (Function::Exp, Some(1)),
        "clamp" => (Function::Clamp, Some(3)),
        _ => return None,
    })
}

fn unknown(word: &str) -> String {
    let measures: Vec<&str> = Measure::ALL.iter().map(|measure| measure.as_str()).collect();
    let functions = "min max or abs sqrt ln exp clamp";
    format!(
        "{word:?} must be one of [{}] or a function of [{functions}]",
        measures.join(" ")
    )
}
