//! One warning per target model and process, so that a model that every request asks for does not
//! fill the log.

use std::collections::HashSet;
use std::sync::Mutex;

use service::lock;

/// Most models that are remembered; a client can name any number of them.
const MAX_MODELS: usize = 64;
/// Most characters of a model id that are remembered.
const MAX_ID_CHARS: usize = 100;

/// The target models that a warning was logged for.
#[derive(Debug, Default)]
pub(super) struct WarnedModels(Mutex<HashSet<String>>);

impl WarnedModels {
    /// Returns true the first time it is called for this model. After [`MAX_MODELS`] models it
    /// starts anew, so that a new model is still warned of.
    pub(super) fn insert(&self, model_id: &str) -> bool {
        let model_id: String = model_id.chars().take(MAX_ID_CHARS).collect();
        let mut warned = lock(&self.0);
        if warned.contains(&model_id) {
            return false;
        }
        if warned.len() >= MAX_MODELS {
            warned.clear();
        }
        warned.insert(model_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_warned_of_once_and_memory_stays_bounded() {
        let warned = WarnedModels::default();
        assert!(warned.insert("a") && !warned.insert("a"));
        for nth in 0..1000 {
            assert!(warned.insert(&format!("model-{nth}-{}", "x".repeat(1000))));
            let len = warned.0.lock().unwrap().len();
            assert!(len <= MAX_MODELS);
        }
    }
}
