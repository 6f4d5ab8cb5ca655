//! The requests of a load, and whether an answer is theirs.

use memchr::memmem;

use crate::connection::Answer;

/// The first id; all have nine digits, so that a request is changed in place.
const FIRST_ID: u64 = 100_000_000;
const ID_DIGITS: usize = 9;
/// Where the id of an answer is looked for: this close to either end.
const ID_WITHIN: usize = 256;

/// What is asked, and of whom.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct QuestionArgs {
    /// The `Host` of requests.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// The path of requests.
    #[arg(long, default_value = "/")]
    path: String,
    /// The method that is called.
    #[arg(long, default_value = "eth_getBalance")]
    method: String,
    /// Calls in each request; more than one make a batch.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
}

/// One request after the other, each with ids of its own.
#[derive(Debug, Clone)]
pub(crate) struct Questions {
    request: Vec<u8>,
    /// Where the ids stand in the request.
    ids_at: Vec<usize>,
    /// The first id of the request as it stands.
    id: u64,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    Status(u16),
    Id,
    RpcError,
    CallsMissing,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Id => f.write_str("wrong id"),
            Self::RpcError => f.write_str("JSON-RPC error"),
            Self::CallsMissing => f.write_str("calls of a batch missing"),
        }
    }
}

impl Questions {
    pub(crate) fn new(args: &QuestionArgs) -> Self {
        let call = |number: u64| {
            let id = FIRST_ID + number;
            let params = r#"["0x407d73d8a49eeb85d32cf465507dd71d507100c1","latest"]"#;
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{}","params":{params}}}"#,
                args.method
            )
        };
        let calls: Vec<String> = (0..args.batch).map(call).collect();
        let body = match calls.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(",")),
        };
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            args.path,
            args.host,
            body.len()
        );
        let request = request.into_bytes();
        let key = br#""id":"#;
        let ids_at = memmem::find_iter(&request, key)
            .map(|at| at + key.len())
            .collect();
        Self {
            request,
            ids_at,
            id: FIRST_ID,
        }
    }

    /// The next request, whole.
    pub(crate) fn next(&mut self) -> &[u8] {
        let calls = self.ids_at.len() as u64;
        let last = FIRST_ID * 10 - calls;
        self.id = if self.id >= last {
            FIRST_ID
        } else {
            self.id + calls
        };
        for (at, id) in self.ids_at.iter().zip(self.id..) {
            if let Some(digits) = self.request.get_mut(*at..*at + ID_DIGITS) {
                write_digits(digits, id);
            }
        }
        &self.request
    }

    /// Looks at the answer to the last request.
    ///
    /// # Errors
    /// [`Wrong`] when it is another's, or none.
    pub(crate) fn check(&self, answer: &Answer<'_>) -> Result<(), Wrong> {
        if answer.status != 200 {
            return Err(Wrong::Status(answer.status));
        }
        let body = answer.body;
        let head = body.get(..ID_WITHIN.min(body.len())).unwrap_or_default();
        let tail = body
            .get(body.len().saturating_sub(ID_WITHIN)..)
            .unwrap_or_default();
        if memmem::find(head, br#""error":"#).is_some() {
            return Err(Wrong::RpcError);
        }
        if !has_id(head, self.id) && !has_id(tail, self.id) {
            return Err(Wrong::Id);
        }
        if self.ids_at.len() > 1 && memmem::find_iter(body, br#""id":"#).count() != self.ids_at.len() {
            return Err(Wrong::CallsMissing);
        }
        Ok(())
    }
}

fn has_id(text: &[u8], id: u64) -> bool {
    let mut digits = [0; ID_DIGITS];
    write_digits(&mut digits, id);
    memmem::find_iter(text, br#""id":"#).any(|at| {
        let rest = text.get(at + 5..).unwrap_or_default().trim_ascii_start();
        rest.starts_with(&digits) && !rest.get(ID_DIGITS).is_some_and(u8::is_ascii_digit)
    })
}

fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        // A remainder of ten fits.
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions(batch: u64) -> Questions {
        Questions::new(&QuestionArgs {
            host: "a".to_owned(),
            path: "/".to_owned(),
            method: "eth_chainId".to_owned(),
            batch,
        })
    }

    fn answer(body: &str) -> Answer<'_> {
        Answer {
            status: 200,
            close: false,
            body: body.as_bytes(),
        }
    }

    #[test]
    fn each_request_has_an_id_of_its_own_and_knows_its_answer() {
        let mut questions = questions(1);
        let first = String::from_utf8(questions.next().to_vec()).unwrap();
        assert!(first.contains(r#""id":100000001,"#), "{first}");
        let own = r#"{"jsonrpc":"2.0","id":100000001,"result":1}"#;
        assert_eq!(questions.check(&answer(own)), Ok(()));
        assert_eq!(
            questions.check(&answer(r#"{"result":1,"id": 100000001}"#)),
            Ok(())
        );
        let error = r#"{"id":100000001,"error":{"code":1}}"#;
        assert_eq!(questions.check(&answer(error)), Err(Wrong::RpcError));
        questions.next();
        assert_eq!(questions.check(&answer(own)), Err(Wrong::Id));
        let refused = Answer {
            status: 503,
            ..answer(own)
        };
        assert_eq!(questions.check(&refused), Err(Wrong::Status(503)));
    }

    #[test]
    fn a_batch_must_come_back_whole() {
        let mut questions = questions(3);
        let request = String::from_utf8(questions.next().to_vec()).unwrap();
        for id in [100_000_003, 100_000_004, 100_000_005] {
            assert!(request.contains(&format!(r#""id":{id},"#)), "{request}");
        }
        let whole = r#"[{"id":100000003},{"id":100000004},{"id":100000005}]"#;
        assert_eq!(questions.check(&answer(whole)), Ok(()));
        let short = r#"[{"id":100000003},{"id":100000004}]"#;
        assert_eq!(questions.check(&answer(short)), Err(Wrong::CallsMissing));
    }

    #[test]
    fn ids_start_again_before_they_would_need_a_tenth_digit() {
        let mut questions = questions(1);
        questions.id = FIRST_ID * 10 - 1;
        questions.next();
        assert_eq!(questions.id, FIRST_ID);
    }
}
