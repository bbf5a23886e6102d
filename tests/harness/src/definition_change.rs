//! A deliberate change of a definition, for mutants of the state machine.

use anyhow::{Result, ensure};
use serde_json::Value;

/// A change of a text in a definition.
#[derive(Debug, Clone, Copy)]
pub struct DefinitionChange {
    /// Where the text is, as a JSON pointer.
    pub pointer: &'static str,
    /// What must stand there exactly once.
    pub this: &'static str,
    /// What stands there instead.
    pub by: &'static str,
}

impl DefinitionChange {
    /// Changes a definition: the repository's, or the same as it is deployed.
    ///
    /// # Errors
    /// It has changed, and this mutant no longer fits it.
    pub fn apply(&self, definition: &mut Value) -> Result<()> {
        let at = definition.pointer_mut(self.pointer);
        let text = at.as_ref().and_then(|text| text.as_str());
        let fits = text.is_some_and(|text| text.matches(self.this).count() == 1);
        ensure!(
            fits,
            "{}: `{}` must occur exactly once: adapt the mutant to the changed definition",
            self.pointer,
            self.this
        );
        let changed = text.map(|text| text.replacen(self.this, self.by, 1));
        if let Some((at, changed)) = at.zip(changed) {
            *at = Value::from(changed);
        }
        Ok(())
    }
}
