//! The program as a person starts and stops it.
#![cfg(test)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Ends the program with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.0.kill().unwrap();
        }
    }
}

#[test]
fn program_takes_flags_and_ends_well_on_interrupt() {
    let child = Command::new(env!("CARGO_BIN_EXE_tyrscale-simnode"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--name",
            "demo",
            "--height",
            "50",
            "--block-time",
            "0s",
            "--lag",
            "8",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let addr = line.split_once("addr=").unwrap().1.trim();

    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .write_all(b"GET /sim/state HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#""head":42"#), "{answer}");
    assert!(answer.contains("x-simnode: demo"), "{answer}");

    let interrupt = Command::new("kill")
        .args(["-INT", &running.0.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupt.success());
    assert!(running.0.wait().unwrap().success());
}
