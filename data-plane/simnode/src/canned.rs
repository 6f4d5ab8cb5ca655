//! Answers given to calls of one method with certain parameters.

use serde_json::Value;

use crate::fault::RpcError;

/// An answer for calls that fit.
#[derive(Debug, Clone, PartialEq)]
pub struct CannedAnswer {
    /// The method.
    pub method: String,
    /// The parameters, compared as JSON values; `None` fits any.
    pub params: Option<Value>,
    /// The result, or the error.
    pub outcome: Result<Value, RpcError>,
}

impl CannedAnswer {
    /// Whether the answer is for such a call.
    pub(crate) fn fits(&self, method: &str, params: &Value) -> bool {
        self.method == method && self.params.as_ref().is_none_or(|wanted| wanted == params)
    }
}
