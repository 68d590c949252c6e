//! Tests of the call.
