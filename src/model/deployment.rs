//! The document of a deployment, kept as it came, unknown fields included.

use super::document::document;

document! {
    /// A deployment as stored: what is to be delivered in which stages, and how far that is.
    DeploymentDocument, a "deployment", called by id, or of_id alone
}
