//! Random ids in the forms of the two services. They are unique across simulators and processes, because a
//! conversation may move between them.

use ring::rand::{SecureRandom as _, SystemRandom};

/// `count` random letters and digits.
fn characters(count: usize) -> String {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz0123456789";
    let mut bytes = vec![0; count];
    // Without random bytes all ids are equal, which is acceptable for a simulator.
    let _ = SystemRandom::new().fill(&mut bytes);
    let pick = |byte: u8| {
        ALPHABET
            .get(usize::from(byte % 64))
            .copied()
            .map(char::from)
    };
    bytes.into_iter().filter_map(pick).collect()
}

/// `msg_01…`, an Anthropic message id.
pub(super) fn message() -> String {
    format!("msg_01{}", characters(22))
}

/// `msg_bdrk_01…`, an Anthropic message id as `InvokeModel` on Bedrock makes them.
pub(super) fn bedrock_message() -> String {
    format!("msg_bdrk_01{}", characters(22))
}

/// `toolu_01…`, a tool call's id on the Messages API.
pub(super) fn tool_use() -> String {
    format!("toolu_01{}", characters(22))
}

/// `tooluse_…`, a tool call's id on Converse.
pub(super) fn bedrock_tool_use() -> String {
    format!("tooluse_{}", characters(22))
}

/// `req_011…`, the request id of the Messages API.
pub(super) fn request() -> String {
    format!("req_011{}", characters(21))
}

/// A UUID, the request id of an AWS service.
pub(super) fn uuid() -> String {
    let mut bytes = [0; 16];
    let _ = SystemRandom::new().fill(&mut bytes);
    let number = u128::from_be_bytes(bytes);
    let number = (number & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}
