//! The agent-sandbox controllers for a real API server.

pub mod crd;
