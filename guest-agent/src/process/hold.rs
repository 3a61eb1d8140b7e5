//! The bond between a call and its program.

use crate::agent::{Agent, Ending};
use std::rc::Rc;
use std::time::Duration;

/// While this exists the program belongs to a call. Dropped before `let_go`, it ends the whole tree.
pub struct Hold {
    agent: Rc<Agent>,
    ending: Option<Ending>,
}

impl Hold {
    pub fn new(agent: &Rc<Agent>, ending: Ending) -> Self {
        Self { agent: Rc::clone(agent), ending: Some(ending) }
    }

    pub fn signal(&self, number: i32) {
        if let Some(ending) = &self.ending {
            ending.tree.signal(number);
        }
    }

    /// Ends the whole tree: SIGTERM, the grace, SIGKILL. Returns when it is gone.
    pub async fn end(&self) {
        if let Some(ending) = &self.ending {
            ending.tree.end(ending.grace).await;
        }
    }

    /// Ends the whole tree without a grace. Returns when it is gone.
    pub async fn kill(self) {
        if let Some(ending) = &self.ending {
            ending.tree.end(Duration::ZERO).await;
        }
        self.let_go();
    }

    /// The program is over; what it left in the background goes on.
    pub fn let_go(mut self) {
        if let Some(ending) = self.ending.take() {
            self.agent.forget(&ending.tree);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            self.agent.end(ending);
        }
    }
}
