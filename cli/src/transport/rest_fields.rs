//! Fields of resources as the REST interface of the original program names and nests them.

use serde_json::{Map, Value};

use crate::{
    Failure,
    resource::{self, Resource},
};

type Fields = Map<String, Value>;

/// The body for a resource: its set fields under their REST names. `except` are told elsewhere, in the path.
///
/// # Errors
/// [`Failure::Usage`] naming the fields REST does not know.
pub(super) fn to_rest<R: Resource>(resource: &R, except: &[&str]) -> Result<Fields, Failure> {
    let given = Value::Object(resource::given(resource)?);
    let mut body = Fields::new();
    let mut unknown = Vec::new();
    let mut paths = resource::mask(resource)?;
    paths.push(R::ID.to_owned());
    for path in paths.iter().filter(|path| !except.contains(&path.as_str())) {
        let Some(value) = look_up(&given, path) else {
            continue;
        };
        match R::REST_FIELDS.iter().find(|(here, _)| here == path) {
            Some((_, there)) => put(&mut body, there, value.clone()),
            None => unknown.push(path.as_str()),
        }
    }
    if unknown.is_empty() {
        return Ok(body);
    }
    Err(Failure::Usage(format!(
        "REST does not know these fields of a {}: {}; leave them out or use --transport grpc",
        R::KIND,
        unknown.join(", ")
    )))
}

/// The resource of a REST item; fields that are not ours are left aside.
pub(super) fn from_rest<R: Resource>(item: &Value) -> Result<R, Failure> {
    let mut fields = Fields::new();
    for (here, there) in R::REST_FIELDS {
        if let Some(value) = look_up(item, there).filter(|value| !value.is_null()) {
            put(&mut fields, here, value.clone());
        }
    }
    resource::from_fields(fields)
}

fn look_up<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

fn put(fields: &mut Fields, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            fields.insert(path.to_owned(), value);
        }
        Some((parent, rest)) => {
            let inner = fields
                .entry(parent)
                .or_insert_with(|| Value::Object(Fields::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::{Route, Upstream};

    #[test]
    fn fields_get_their_rest_names_and_back() {
        let route: Route = serde_json::from_value(json!({
            "id": "r", "host": "h", "load_balancer": "least-load",
            "circuit_breaker": {"enabled": true, "timeout_ms": 5},
            "health_check": {"enabled": true, "type": "custom", "request": {"method": "GET", "headers": {"a": "b"}}},
        }))
        .unwrap();
        let body = Value::Object(to_rest(&route, &[]).unwrap());
        assert_eq!(
            body,
            json!({
                "uuid": "r", "host": "h", "load_balancer_strategy": "least-load",
                "circuit_breaker": {"enabled": true, "timeout": 5},
                "health_check": {"enabled": true, "type": "custom", "request": {"method": "GET", "headers": {"a": "b"}}},
            })
        );
        assert_eq!(from_rest::<Route>(&body).unwrap(), route);
    }

    #[test]
    fn fields_rest_does_not_know_are_named() {
        let route: Route =
            serde_json::from_value(json!({"health_check": {"tolerance_blocks": 1, "healthy_threshold": 1}}))
                .unwrap();
        let error = to_rest(&route, &[]).unwrap_err().to_string();
        assert!(
            error.contains("health_check.healthy_threshold, health_check.tolerance_blocks"),
            "{error}"
        );
    }

    #[test]
    fn what_is_in_the_path_is_not_in_the_body() {
        let upstream: Upstream = serde_json::from_value(json!({"route_id": "r", "weight": 1.5})).unwrap();
        let body = to_rest(&upstream, &["route_id"]).unwrap();
        assert_eq!(Value::Object(body), json!({"weight": 1.5}));
    }
}
