//! What a selection holds, looked at before it is sent.

use super::walk::Visitor;
use crate::r#gen::agent::TreeTotals;
use crate::rpc::status::Status;
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[derive(Default)]
pub struct Totals {
    pub totals: TreeTotals,
    /// Device and inode of files with several names: only the first one brings content.
    seen: HashSet<(u64, u64)>,
}

impl Visitor for Totals {
    fn visit(&mut self, _: &Path, _: &Path, metadata: &Metadata) -> Result<(), Status> {
        self.totals.entries += 1;
        let again = metadata.is_file() && metadata.nlink() > 1 && !self.seen.insert((metadata.dev(), metadata.ino()));
        if metadata.is_file() && !again {
            self.totals.bytes += metadata.size().min(metadata.blocks().saturating_mul(512));
        }
        Ok(())
    }
}
