//! `tyrctl audit` and `tyrctl events`: what was written and what was refused.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde::Serialize;
use tyrscale_proto::v1;

use super::connect;
use crate::{
    Connection, Failure, Output,
    output::write_data,
    transport::{GrpcClient, signed},
};

const PAGE_SIZE: u32 = 1000;
const COLUMNS: &[&str] = &[
    "sequence", "time", "subject", "method", "outcome", "revision", "peer", "summary",
];

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Every write and every refused attempt, oldest first.
    List {
        /// The first record to show.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
    /// Proves that no record was changed, left out or cut off; exits with 1 when one was.
    Verify {
        /// A record known from elsewhere, as SEQUENCE:HASH, that must be there as it was.
        #[arg(long, value_name = "SEQUENCE:HASH")]
        known: Option<String>,
        /// A file of --audit-log to prove instead, without a control plane; repeat it for more. Its first record is taken as
        /// it is, unless it is the first of all.
        #[arg(
            long = "file",
            value_name = "FILE",
            requires = "pepper_file",
            conflicts_with = "known"
        )]
        files: Vec<PathBuf>,
        /// The control plane's pepper, for --file.
        #[arg(long, value_name = "FILE", requires = "files")]
        pepper_file: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// The first record to show; without it, from now on.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    from: u64,
}

#[derive(Debug, Serialize)]
struct Record {
    sequence: u64,
    time: Option<String>,
    subject: String,
    credential: String,
    peer: String,
    method: String,
    outcome: String,
    revision: u64,
    request_id: String,
    summary: String,
    hash: String,
}

impl From<v1::AuditRecord> for Record {
    fn from(record: v1::AuditRecord) -> Self {
        let outcome = record.outcome().as_str_name();
        Self {
            outcome: outcome.trim_start_matches("AUDIT_OUTCOME_").to_ascii_lowercase(),
            sequence: record.sequence,
            time: record.time.map(|time| time.to_string()),
            subject: record.subject,
            credential: record.credential_id,
            peer: record.peer,
            method: record.method,
            revision: record.revision,
            request_id: record.request_id,
            summary: record.summary,
            hash: hex(&record.hash),
        }
    }
}

#[derive(Debug, Serialize)]
struct Verdict {
    intact: bool,
    records: u64,
    /// Of the newest record: keep it elsewhere for `--known`.
    head: String,
}

impl AuditVerb {
    pub(crate) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::List { from } => list(&connect(connection).await?, from, output).await,
            Self::Verify {
                files,
                pepper_file: Some(pepper),
                ..
            } => verify_files(files, &pepper, output).await,
            Self::Verify { known, .. } => {
                let client = connect(connection).await?;
                verify(&client, known.as_deref(), output).await
            }
        }
    }
}

async fn list(client: &GrpcClient, from: u64, output: Output) -> Result<(), Failure> {
    let mut records = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = signed(v1::ListAuditRequest {
            page_size: PAGE_SIZE,
            page_token,
            from_sequence: from,
        });
        let page = client.control_plane().access().list_audit(request).await;
        let page = page.map_err(|status| client.failure(status))?.into_inner();
        records.extend(page.records.into_iter().map(Record::from));
        if page.next_page_token.is_empty() {
            return output.write_all(&records, COLUMNS);
        }
        page_token = page.next_page_token;
    }
}

async fn verify(client: &GrpcClient, known: Option<&str>, output: Output) -> Result<(), Failure> {
    let (known_sequence, known_hash) = known.map(read_known).transpose()?.unwrap_or_default();
    let request = signed(v1::VerifyAuditRequest {
        known_sequence,
        known_hash: known_hash.into(),
    });
    let answer = client.control_plane().access().verify_audit(request).await;
    let answer = answer.map_err(|status| client.failure(status))?.into_inner();
    let verdict = Verdict {
        intact: answer.intact,
        records: answer.records,
        head: match answer.records {
            0 => String::new(),
            _ => format!("{}:{}", answer.head_sequence, hex(&answer.head_hash)),
        },
    };
    let broken = (!answer.intact).then_some((answer.broken_sequence, answer.reason));
    tell(&verdict, broken, output)
}

async fn verify_files(files: Vec<PathBuf>, pepper_file: &Path, output: Output) -> Result<(), Failure> {
    let walked = tyrscale_control_plane::verify_audit_files(files, pepper_file).await;
    let walked = walked.map_err(|error| Failure::Refused(error.to_string()))?;
    let verdict = Verdict {
        intact: walked.broken.is_none(),
        records: walked.records,
        head: format!("{}:{}", walked.sequence, hex(&walked.hash)),
    };
    tell(&verdict, walked.broken, output)
}

fn tell(verdict: &Verdict, broken: Option<(u64, String)>, output: Output) -> Result<(), Failure> {
    output.write_one(verdict, &["intact", "records", "head"])?;
    broken.map_or(Ok(()), |(sequence, reason)| {
        Err(Failure::Refused(format!(
            "the audit log is broken at record {sequence}: {reason}"
        )))
    })
}

/// `tyrctl events`: a line for each record as it is made, until interrupted.
pub(crate) async fn events(args: EventsArgs, connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connect(connection).await?;
    let request = signed(v1::WatchAuditRequest {
        from_sequence: args.from,
    });
    let records = client.control_plane().access().watch_audit(request).await;
    let mut records = records.map_err(|status| client.failure(status))?.into_inner();
    loop {
        let next = records.message().await;
        let Some(response) = next.map_err(|status| client.failure(status))? else {
            return Ok(());
        };
        let record = Record::from(response.record.unwrap_or_default());
        write_data(&line(&record, output)?)?;
    }
}

fn line(record: &Record, output: Output) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Refused(format!("cannot write: {error}"));
    match output {
        Output::Table => Ok(format!(
            "{} {} {} {} {} {}",
            record.time.as_deref().unwrap_or("-"),
            record.outcome,
            record.subject,
            record.method,
            record.peer,
            record.summary
        )),
        Output::Json => serde_json::to_string(record).map_err(|error| failed(&error)),
        Output::Yaml => {
            let text = serde_saphyr::to_string(record).map_err(|error| failed(&error))?;
            Ok(format!("---\n{text}"))
        }
    }
}

fn read_known(text: &str) -> Result<(u64, Vec<u8>), Failure> {
    let wrong =
        || Failure::Usage("--known must be SEQUENCE:HASH as `tyrctl audit verify` shows it".to_owned());
    let (sequence, hash) = text.split_once(':').ok_or_else(wrong)?;
    let sequence = sequence.parse().map_err(|_| wrong())?;
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let bytes = hash.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        u8::from_str_radix(pair, 16).map_err(|_| wrong())
    });
    Ok((sequence, bytes.collect::<Result<_, _>>()?))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_record_reads_as_it_is_shown() {
        let shown = format!("7:{}", hex(&[0xab; 32]));
        assert_eq!(read_known(&shown).unwrap(), (7, vec![0xab; 32]));
        for wrong in ["7", "x:00", "7:00", &format!("7:{}", "g".repeat(64))] {
            assert!(read_known(wrong).is_err(), "{wrong}");
        }
    }
}
