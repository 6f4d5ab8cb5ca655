//! A small language for the score of an upstream: numbers, measurements by name, arithmetic, comparisons and a few
//! functions.

mod parse;

use std::{fmt, str::FromStr};

use crate::{Violation, ViolationCode, rpc::words};

/// What is measured of an upstream within the window of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Its height, blocks.
    Height,
    /// The time since that was taken, seconds.
    HeightAge,
    /// Blocks behind the highest upstream now.
    Lag,
    /// Blocks behind the highest upstream, on average over the window.
    MeanLag,
    /// Attempts.
    Requests,
    /// Attempts per second.
    RequestRate,
    /// Attempts that failed.
    Failures,
    /// Failed attempts as a share, 0 to 1.
    ErrorRate,
    /// Attempts it refused for coming too fast.
    Throttled,
    /// Attempts per second it bears before it throttles.
    BearableRate,
    /// The mean time of answers, seconds.
    Latency,
    /// The median time of answers, seconds.
    LatencyP50,
    /// The time that 9 of 10 answers took at most, seconds.
    LatencyP90,
    /// The time that 99 of 100 answers took at most, seconds.
    LatencyP99,
    /// What a million calls of the route's mix cost.
    Price,
    /// What it would get of 100 points for an equal score.
    Prior,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Height,
        Self::HeightAge,
        Self::Lag,
        Self::MeanLag,
        Self::Requests,
        Self::RequestRate,
        Self::Failures,
        Self::ErrorRate,
        Self::Throttled,
        Self::BearableRate,
        Self::Latency,
        Self::LatencyP50,
        Self::LatencyP90,
        Self::LatencyP99,
        Self::Price,
        Self::Prior,
    ];
}

words!(Measure, "expression", "is no measurement", {
    Height => "height",
    HeightAge => "height_age_s",
    Lag => "lag_blocks",
    MeanLag => "mean_lag_blocks",
    Requests => "requests",
    RequestRate => "requests_per_second",
    Failures => "failures",
    ErrorRate => "error_rate",
    Throttled => "throttled",
    BearableRate => "bearable_rate",
    Latency => "latency_s",
    LatencyP50 => "latency_p50_s",
    LatencyP90 => "latency_p90_s",
    LatencyP99 => "latency_p99_s",
    Price => "price",
    Prior => "prior",
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Min,
    Max,
    Abs,
    Sqrt,
    Ln,
    Exp,
    Clamp,
    Or,
}

/// One step on a stack of values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Number(f64),
    Measure(Measure),
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Less,
    Greater,
    Call(Function, usize),
}

/// A score as an expression over the measurements of an upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    steps: Vec<Step>,
}

impl Expression {
    /// The longest expression, in bytes.
    pub const MAX: usize = 1024;

    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its value. `None` when it needs a measurement that is missing or is no finite number.
    #[must_use]
    pub fn evaluate(&self, measured: impl Fn(Measure) -> Option<f64>) -> Option<f64> {
        let mut stack: Vec<Option<f64>> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let value = match *step {
                Step::Number(number) => Some(number),
                Step::Measure(measure) => measured(measure),
                Step::Negate => stack.pop()?.map(|value| -value),
                Step::Call(function, arguments) => {
                    let arguments = stack.split_off(stack.len().checked_sub(arguments)?);
                    call(function, &arguments)
                }
                operator => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    left.zip(right).map(|(left, right)| binary(operator, left, right))
                }
            };
            stack.push(value);
        }
        stack.pop().flatten().filter(|value| value.is_finite())
    }
}

fn binary(operator: Step, left: f64, right: f64) -> f64 {
    match operator {
        Step::Add => left + right,
        Step::Subtract => left - right,
        Step::Multiply => left * right,
        Step::Divide => left / right,
        Step::Power => left.powf(right),
        Step::Less => f64::from(u8::from(left < right)),
        Step::Greater => f64::from(u8::from(left > right)),
        Step::Number(_) | Step::Measure(_) | Step::Negate | Step::Call(..) => f64::NAN,
    }
}

fn call(function: Function, arguments: &[Option<f64>]) -> Option<f64> {
    if function == Function::Or {
        return arguments.iter().flatten().next().copied();
    }
    let values: Vec<f64> = arguments.iter().copied().collect::<Option<_>>()?;
    match (function, values.as_slice()) {
        (Function::Min, values) => values.iter().copied().reduce(f64::min),
        (Function::Max, values) => values.iter().copied().reduce(f64::max),
        (Function::Abs, [value]) => Some(value.abs()),
        (Function::Sqrt, [value]) => Some(value.sqrt()),
        (Function::Ln, [value]) => Some(value.ln()),
        (Function::Exp, [value]) => Some(value.exp()),
        (Function::Clamp, [value, low, high]) => Some(value.max(*low).min(*high)),
        _ => None,
    }
}

impl FromStr for Expression {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        if text.len() > Self::MAX {
            let rule = "must have at most 1024 bytes";
            return Err(Violation::new("expression", ViolationCode::OutOfRange, rule));
        }
        let invalid = |rule| Violation::new("expression", ViolationCode::Invalid, rule);
        Ok(Self {
            text: text.to_owned(),
            steps: parse::parse(text).map_err(invalid)?,
        })
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
