//! New identifiers. Each holds a version 7 UUID, so they sort by the time of their making.

use std::fmt::Debug;
use std::str::FromStr;

/// A new identifier of one of the types of [`domain::id`], with the prefix of that type.
pub fn new_id<T>(prefix: &str) -> T
where
    T: FromStr,
    T::Err: Debug,
{
    #[expect(
        clippy::expect_used,
        reason = "a prefix and hexadecimal digits are a well-formed identifier"
    )]
    format!("{prefix}{}", new_uuid())
        .parse()
        .expect("a prefix and hexadecimal digits are a well-formed identifier")
}

/// A new UUID: 32 lower-case hexadecimal digits without hyphens.
pub fn new_uuid() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only place that makes identifiers"
    )]
    uuid::Uuid::now_v7().simple().to_string()
}

#[cfg(test)]
mod tests {
    use domain::id::{KeyId, RequestId, UserId};

    use super::*;

    #[test]
    fn new_id_is_well_formed_for_every_type() {
        let (user, key): (UserId, KeyId) = (new_id(UserId::PREFIX), new_id(KeyId::PREFIX));
        let request: RequestId = new_id(RequestId::PREFIX);
        for (id, prefix) in [
            (user.as_str(), UserId::PREFIX),
            (key.as_str(), KeyId::PREFIX),
            (request.as_str(), RequestId::PREFIX),
        ] {
            let digits = id.strip_prefix(prefix).unwrap();
            assert_eq!(digits.len(), 32);
            assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}
