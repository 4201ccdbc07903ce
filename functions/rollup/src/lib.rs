//! Usage records folded into totals: the function behind the usage table's stream.
//!
//! There are no usage records yet. Until there are, the function refuses every batch, so that a
//! stream connected too early keeps its records instead of losing them.

/// What a batch is answered with as long as nothing folds it.
pub const NOT_BUILT: &str = "501: rollups are not built yet; the batch stays in the stream";
