//! Files of the store cut, changed and taken away, and disks that are full: what was acknowledged is intact, or it is
//! refused by name.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    plane::{apply_parts, connect},
    program::{Dice, PROGRAM, Program, check, document, networks, store_command, times, write},
};

/// The longest a look at a damaged store may take before the process that looks is ended.
const LOOK: Duration = Duration::from_secs(20);

/// A store that a killed program left, and what was acknowledged of it.
async fn left_behind(dir: &Path) -> BTreeMap<usize, u64> {
    let mut program = Program::start(dir);
    let acknowledged = write(connect(program.grpc).await, 0..60).await;
    assert_eq!(acknowledged.len(), 60);
    program.kill();
    acknowledged
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_ours = ["db", "conf", "acknowledged"].contains(&name.as_str()) || name.starts_with("snap.");
        if is_ours {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut,
    Flip,
    Zeros,
    Missing,
}

impl Damage {
    const ALL: [Self; 4] = [Self::Cut, Self::Flip, Self::Zeros, Self::Missing];

    fn inflict(self, file: &Path, dice: &mut Dice) {
        let mut bytes = fs::read(file).unwrap();
        let length = bytes.len().max(1) as u64;
        let at = usize::try_from(dice.below(length)).unwrap();
        match self {
            Self::Cut => bytes.truncate(at),
            Self::Flip => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 1 << dice.below(8)),
            Self::Zeros => bytes.iter_mut().skip(at).take(4096).for_each(|byte| *byte = 0),
            Self::Missing => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

/// What a look at a store says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// It proves itself, with this revision and digest.
    Whole(String),
    /// It is refused for a reason.
    Refused(String),
    /// The database ended the process, or had to be ended.
    Ended,
}

fn look(dir: &Path) -> Look {
    let mut child = Command::new(PROGRAM)
        .args(["store", "verify", "--data-dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let (told, ended) = std::sync::mpsc::channel();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(LOOK).is_err() {
            Command::new("kill")
                .args(["-9", &id.to_string()])
                .status()
                .unwrap();
        }
    });
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let output = std::io::read_to_string(stdout).unwrap();
    let errors = errors.join().unwrap();
    told.send(()).ok();
    let status = child.wait().unwrap();
    watchdog.join().unwrap();
    match status.code() {
        Some(0) => Look::Whole(output.lines().skip(1).collect::<Vec<_>>().join(" ")),
        Some(4) => {
            let reason = errors.lines().last().unwrap();
            assert!(reason.contains("is damaged: "), "{errors}");
            Look::Refused(reason.split("is damaged: ").nth(1).unwrap().to_owned())
        }
        Some(code) => panic!("exit code {code}: {errors}"),
        None => Look::Ended,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_files_are_damaged_is_intact_or_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("whole");
    left_behind(&home).await;
    let Look::Whole(whole) = look(&home) else {
        panic!("it is whole")
    };
    let trials = times("DAMAGES", 48);
    let mut dice = Dice(0x5851_f42d_4c95_7f2d);
    let (mut intact, mut refused, mut ended) = (0, 0, 0);
    for trial in 0..trials {
        let damaged = dir.path().join("damaged");
        copy(&home, &damaged);
        let files = files(&damaged);
        // Half of them hit the database itself.
        let file = match trial % 2 {
            0 => damaged.join("db"),
            _ => files[trial / 2 % files.len()].clone(),
        };
        let damage = Damage::ALL[trial / 2 % 4];
        damage.inflict(&file, &mut dice);
        match look(&damaged) {
            Look::Whole(found) => {
                assert_eq!(found, whole, "{damage:?} of {}", file.display());
                intact += 1;
            }
            Look::Refused(reason) => {
                assert!(!reason.is_empty());
                refused += 1;
            }
            Look::Ended => ended += 1,
        }
        fs::remove_dir_all(&damaged).unwrap();
    }
    println!(
        "{trials} damages: {intact} intact, {refused} refused by name, {ended} ended the process that looked"
    );
    assert!(refused > 0 && intact > 0);
}

/// Writes until a write is refused, which tells why.
async fn write_until_refused(channel: &Channel, acknowledged: &mut BTreeMap<usize, u64>) -> String {
    for number in 0..100_000 {
        match apply_parts(channel, document(number)).await {
            Ok(answer) => acknowledged.insert(number, answer.version.unwrap().revision),
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status:?}");
                return status.message().to_owned();
            }
        };
    }
    panic!("the disk is never full");
}

/// Writes once more, until it is taken.
async fn write_until_taken(channel: &Channel, acknowledged: &mut BTreeMap<usize, u64>) {
    let number = 200_000;
    let taken = async {
        loop {
            if let Ok(answer) = apply_parts(channel, document(number)).await {
                return answer.version.unwrap().revision;
            }
        }
    };
    let revision = tokio::time::timeout(Duration::from_secs(30), taken)
        .await
        .unwrap();
    acknowledged.insert(number, revision);
}

async fn fill_and_free(program: &Program, free: impl FnOnce()) -> BTreeMap<usize, u64> {
    let channel = connect(program.grpc).await;
    let mut acknowledged = BTreeMap::new();
    let reason = write_until_refused(&channel, &mut acknowledged).await;
    assert!(reason.contains("store takes no writes"), "{reason}");
    // What is there is served.
    let found = networks(&channel).await;
    for (number, revision) in &acknowledged {
        assert_eq!(found.get(&format!("n{number}")), Some(revision));
    }
    free();
    write_until_taken(&channel, &mut acknowledged).await;
    check(&channel, &acknowledged).await;
    println!("{} writes before and after a full disk", acknowledged.len());
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    let dir = TempDir::new().unwrap();
    // Files may not grow beyond 2 MiB: writes fail as on a full disk, without anybody's rights.
    let mut limited = Command::new("bash");
    limited
        .args([
            "-c",
            "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"",
            "bash",
            PROGRAM,
        ])
        .args(["--backup-interval-ms", "0"]);
    let mut program = Program::run(limited, dir.path());
    let id = program.id().to_string();
    let acknowledged = fill_and_free(&program, || {
        let raised = Command::new("prlimit")
            .args(["--pid", &id, "--fsize=unlimited:unlimited"])
            .status();
        assert!(raised.unwrap().success());
    })
    .await;
    program.kill();
    let again = Program::start(dir.path());
    check(&connect(again.grpc).await, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_refuses_writes_and_takes_them_again_when_there_is_room() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().display().to_string();
    let is_allowed = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", &place])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_allowed {
        println!("skipped: a file system cannot be mounted here");
        return;
    }
    let script =
        "mount -t tmpfs -o size=6m none \"$0\" && head -c 2M /dev/zero > \"$0\"/ballast && exec \"$@\"";
    let mut mounted = Command::new("unshare");
    mounted
        .args(["-m", "sh", "-c", script, &place, PROGRAM])
        .args(["--backup-interval-ms", "0"]);
    let program = Program::run(mounted, &dir.path().join("store"));
    let ballast = format!("/proc/{}/root{place}/ballast", program.id());
    fill_and_free(&program, || fs::remove_file(ballast).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let _program = Program::start(dir.path());
    let (place, file) = (
        dir.path().display().to_string(),
        dir.path().join("a").display().to_string(),
    );
    for words in [
        &["verify", "--data-dir", &place][..],
        &["export", &file, "--data-dir", &place],
    ] {
        let refused = store_command(words);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains("is in use by another process"), "{told}");
    }
}
