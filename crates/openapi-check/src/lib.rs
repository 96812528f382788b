//! Compares what a daemon answers with an OpenAPI document, and such a document with an older one.
//!
//! [`Spec::own`] is strict: what is not documented must not happen. Each answer has a documented status, a documented media
//! type and a body that fits its schema, without a field that the schema does not have; a refusal has a documented code;
//! and what was accepted was a documented request.
//!
//! [`Spec::older`] looks with the eyes of a client of an older release: operations and parameters that are new are not its business, and
//! fields may have been added, but what the document promises must be there.
//!
//! [`Kept`] has both: the document of this checkout and those of released versions.
//!
//! [`breaks`] compares two documents without any answer: it names what a client of the older one would miss.

mod closed;
mod compatible;
mod find;
mod fits;
mod kept;
mod spec;

pub use compatible::breaks;
pub use kept::{Kept, released};
pub use spec::{Exchange, Spec};
