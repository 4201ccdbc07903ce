//! The images, documents and videos of a Converse body.

use std::collections::HashSet;

use super::message::Attachment;
use super::shape::{Body, Role, Source};
use crate::rules::content::RuleViolation;

const IMAGES: usize = 20;
const DOCUMENTS: usize = 5;

impl Body {
    pub(super) fn check_attachments(&self) -> Result<(), RuleViolation> {
        let mut images = 0;
        let mut names = HashSet::new();
        for (at, message) in self.messages.iter().enumerate() {
            let attachments = message.attachments();
            if message.role != Role::User && !attachments.is_empty() {
                return RuleViolation::by_service(format!(
                    "messages.{at}: images, documents and videos are allowed in user messages only."
                ));
            }
            for attachment in attachments {
                let Attachment::Document(document) = attachment else {
                    images += 1;
                    continue;
                };
                document.check_name()?;
                if !names.insert(document.name.as_str()) {
                    return RuleViolation::by_service(
                        "Document names must be unique within a conversation. Make sure that each \
                         document has a name of its own and try again.",
                    );
                }
                if document.format.is_none() && matches!(document.source, Source::Bytes(_)) {
                    return RuleViolation::by_service("A document in bytes must name its format.");
                }
            }
            if message.has_document_alone() {
                return RuleViolation::by_service(format!(
                    "messages.{at}: include a text block with the documents and try again."
                ));
            }
        }
        if images > IMAGES {
            return RuleViolation::by_service(format!("too many images: {images} > {IMAGES}"));
        }
        if names.len() > DOCUMENTS {
            return RuleViolation::by_service(format!(
                "too many documents: {} > {DOCUMENTS}",
                names.len()
            ));
        }
        Ok(())
    }
}
