//! Conditions under which an authorization webhook is asked.

use std::sync::LazyLock;

use cel::{Env, Program, Type};

use super::{BASE, but_got, compile, fields};

const REQUIREMENT: &str = "kubernetes.SelectorRequirement";
const FIELDS: &str = "kubernetes.FieldSelectorAttributes";
const LABELS: &str = "kubernetes.LabelSelectorAttributes";
const RESOURCE: &str = "kubernetes.ResourceAttributes";
const PATH: &str = "kubernetes.NonResourceAttributes";
const REVIEW: &str = "kubernetes.SubjectAccessReviewSpec";

static ENV: LazyLock<Env> = LazyLock::new(|| {
    let mut selector = fields(&[("rawSelector", "string")]);
    selector.fields.insert("requirements".into(), Type::list(Type::object(REQUIREMENT)));
    let mut resource = fields(&[
        ("namespace", "string"),
        ("verb", "string"),
        ("group", "string"),
        ("version", "string"),
        ("resource", "string"),
        ("subresource", "string"),
        ("name", "string"),
    ]);
    resource.fields.insert("fieldSelector".into(), Type::object(FIELDS));
    resource.fields.insert("labelSelector".into(), Type::object(LABELS));
    let mut review = fields(&[
        ("user", "string"),
        ("groups", "list(string)"),
        ("extra", "map(string, list(string))"),
        ("uid", "string"),
    ]);
    review.fields.insert("resourceAttributes".into(), Type::object(RESOURCE));
    review.fields.insert("nonResourceAttributes".into(), Type::object(PATH));
    BASE.clone()
        .object(REQUIREMENT, fields(&[("key", "string"), ("operator", "string"), ("values", "list(string)")]))
        .object(FIELDS, selector.clone())
        .object(LABELS, selector)
        .object(RESOURCE, resource)
        .object(PATH, fields(&[("path", "string"), ("verb", "string")]))
        .object(REVIEW, review)
        .variable("request", Type::object(REVIEW))
});

/// A condition about `request`, which is a `SubjectAccessReview`'s specification.
///
/// # Errors
/// Why it cannot be one, in upstream's words.
pub fn review(text: &str) -> Result<Program, String> {
    compile(&ENV, text, &[Type::Bool], but_got)
}
