//! The URL of a request to Plan: the base URL, then the path and query as the client sent them.

use http::StatusCode;

use crate::error_response::ErrorResponse;

/// The longest URL that can be sent, in bytes: `http::Uri` holds no more.
const MAX_BYTES: usize = 65_534;

/// Where Plan is.
#[derive(Debug)]
pub(super) struct BaseUrl {
    /// Without a trailing slash.
    text: String,
    /// Its path, without a trailing slash; empty when there is none.
    path: String,
}

/// A URL that Plan receives byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct PlanUrl(reqwest::Url);

/// Plan cannot be sent the client's path and query byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnsendableUrl {
    /// With the base URL it is longer than [`MAX_BYTES`].
    TooLong,
    /// The HTTP client would send it otherwise, for example percent-encoded.
    Changes,
}

impl BaseUrl {
    /// Reads a base URL; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = reqwest::Url::parse(text).ok()?;
        Some(Self {
            text: text.trim_end_matches('/').to_owned(),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }

    pub(super) fn join(&self, path_and_query: &str) -> Result<PlanUrl, UnsendableUrl> {
        let text = format!("{}{path_and_query}", self.text);
        if text.len() > MAX_BYTES {
            return Err(UnsendableUrl::TooLong);
        }
        let url = reqwest::Url::parse(&text).map_err(|_| UnsendableUrl::Changes)?;
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        let is_same = url.path().strip_prefix(self.path.as_str()) == Some(path)
            && url.query() == query
            && url.fragment().is_none();
        // The HTTP client reads it once more.
        if is_same && http::Uri::try_from(url.as_str()).is_ok() {
            Ok(PlanUrl(url))
        } else {
            Err(UnsendableUrl::Changes)
        }
    }
}

impl From<UnsendableUrl> for ErrorResponse {
    fn from(url: UnsendableUrl) -> Self {
        match url {
            UnsendableUrl::TooLong => Self {
                status: StatusCode::URI_TOO_LONG,
                ..Self::bad_request("The request's URL is too long.")
            },
            UnsendableUrl::Changes => {
                Self::bad_request("The request's URL has a character that must be percent-encoded.")
            }
        }
    }
}

impl PlanUrl {
    pub(super) fn into_url(self) -> reqwest::Url {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_url_is_the_base_and_the_clients_path_and_query_or_none() {
        let bases = [
            "https://host",
            "http://host:1/",
            "https://host/a/prefix",
            "https://host/a/../b",
        ];
        let sendable = [
            "/v1/messages",
            "/v1/messages?",
            "/v1/messages?beta=true&x=%20&q=%27+a,b;c:@!$()*/?~",
            "/v1/models/it's:@a%2Fb",
            "/v1//x",
            "/v1/%5c%2f",
        ];
        let changes = [
            "/v1/..\\..\\api\\oauth\\usage",
            "/v1/../x",
            "/v1/%2e%2e/x",
            "/v1/./x",
            "/v1/a b",
            "/v1/x?q='",
            "/v1/x?q=\"",
            "/v1/x?q=<",
            "/v1/x?q= ",
            "/v1/x?q=a#b",
            "/v1/caf\u{e9}",
            "/v1/x?caf\u{e9}",
            "/v1/x\t",
        ];
        for base in bases {
            let base = BaseUrl::parse(base).unwrap();
            for path_and_query in sendable {
                let url = base.join(path_and_query).unwrap().into_url();
                assert!(url.as_str().ends_with(path_and_query), "{url}");
            }
            for path_and_query in changes {
                let url = base.join(path_and_query).map(PlanUrl::into_url);
                assert_eq!(url, Err(UnsendableUrl::Changes), "{path_and_query}");
            }
        }
        let long = format!("/v1/x?q={}", "x".repeat(MAX_BYTES));
        let base = BaseUrl::parse("https://host").unwrap();
        let url = base.join(&long).map(PlanUrl::into_url);
        assert_eq!(url, Err(UnsendableUrl::TooLong));
        assert!(BaseUrl::parse("https://").is_none());
    }
}
