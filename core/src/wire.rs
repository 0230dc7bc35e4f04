//! The wire: objects as Kubernetes JSON, and actions as requests.

mod decode;
mod encode;
mod request;
mod share;
mod wishes;

pub use decode::{Malformed, decode, decode_list, kind_of};
pub use encode::encode;
pub use request::{Method, Request, notice_body, patch_body, request};
pub use share::Sharer;
