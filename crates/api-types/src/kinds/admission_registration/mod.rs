//! `admissionregistration.k8s.io/v1`: who is asked about requests, and which. Expressions are there, and are not
//! compiled here.

mod bindings;
mod matching;
mod policies;
mod webhooks;
