//! A page of somebody else must not act with our cookies.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use crate::Problem;

/// Whether a request that was authenticated by a cookie is meant by its person.
///
/// `SameSite=Lax` keeps our cookies out of most requests of other sites. For the rest, a request
/// that changes something needs `Roundtable-CSRF: 1`, which no form can send and a script elsewhere
/// only with our leave (CORS), or the browser's own word that it comes from our origin.
///
/// # Errors
/// 403 `csrf`.
pub fn check(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|said| said == value);
    if method.is_safe() || says("roundtable-csrf", "1") || says("sec-fetch-site", "same-origin") {
        return Ok(());
    }
    let title = "A cookie alone is not enough to change something";
    Err(Problem::new(StatusCode::FORBIDDEN, "csrf", title)
        .detail("send the header Roundtable-CSRF: 1"))
}

/// Whether a WebSocket may be opened with a cookie: browsers send cookies with it from any page, and
/// say in `Origin` which page that is. A program that is no browser sends none.
pub fn is_same_origin(headers: &HeaderMap, allowed: &[HeaderValue]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    if allowed.contains(origin) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let page = uri.as_ref().and_then(Uri::authority);
    matches!((host, page), (Some(host), Some(page)) if page.as_str().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_write_by_cookie_needs_more_than_the_cookie() {
        assert!(check(&Method::GET, &headers(&[])).is_ok());
        assert!(check(&Method::POST, &headers(&[("roundtable-csrf", "1")])).is_ok());
        assert!(check(&Method::POST, &headers(&[("sec-fetch-site", "same-origin")])).is_ok());
        for wrong in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("roundtable-csrf", "0")],
        ] {
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let refused = check(&method, &headers(wrong)).unwrap_err();
                assert_eq!((refused.status().as_u16(), refused.slug()), (403, "csrf"));
            }
        }
    }

    #[test]
    fn a_socket_of_another_page_gets_no_cookie() {
        let allowed = [HeaderValue::from_static("https://chat.example")];
        let from = |origin| headers(&[("host", "api.example:8080"), ("origin", origin)]);
        assert!(is_same_origin(&headers(&[("host", "api.example")]), &allowed));
        assert!(is_same_origin(&from("http://api.example:8080"), &allowed));
        assert!(is_same_origin(&from("https://chat.example"), &allowed));
        for other in
            ["https://evil.example", "http://api.example", "null", "https://chat.example.evil"]
        {
            assert!(!is_same_origin(&from(other), &allowed), "{other}");
        }
    }
}
