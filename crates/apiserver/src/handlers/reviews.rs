//! Questions about users and rights: POST, and the answer is the object with its status filled in.

use std::any::type_name;

use api_types::{
    Object, StatusError,
    authentication::TokenReview,
    authorization::{LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview},
};
use futures::future::BoxFuture;
use http::StatusCode;

use super::{Answer, body, write};
use crate::{
    catalogue::{Answered, Asked, Request},
    registry::{Door, Operation, Review, Target, decode::decode},
    request::User,
    reviews::Reviewer,
    serving::respond,
};

/// What is asked, and by whom.
struct Question<'a> {
    user: &'a User,
    namespace: &'a str,
    object: Box<dyn Object>,
}

type Reviewed<'a> = BoxFuture<'a, Result<Box<dyn Object>, StatusError>>;

/// Answers questions of one kind.
pub struct Reviews {
    reviewer: Reviewer,
    review: for<'a> fn(&'a Reviewer, Question<'a>) -> Reviewed<'a>,
}

impl Reviews {
    /// `SelfSubjectReview`.
    #[must_use]
    pub fn who_asks(reviewer: Reviewer) -> Self {
        Self { reviewer, review: |reviewer, asked| Box::pin(async move { object(Ok(reviewer.who_asks(asked.user))) }) }
    }

    /// `TokenReview`.
    #[must_use]
    pub fn tokens(reviewer: Reviewer) -> Self {
        Self {
            reviewer,
            review: |reviewer, asked| Box::pin(async move { object(reviewer.token(asked.of::<TokenReview>()?).await) }),
        }
    }

    /// `LocalSubjectAccessReview`.
    #[must_use]
    pub fn local_access(reviewer: Reviewer) -> Self {
        Self {
            reviewer,
            review: |reviewer, asked| {
                Box::pin(async move {
                    let review: LocalSubjectAccessReview = asked.of()?;
                    object(reviewer.local_access(asked.namespace, review).await)
                })
            },
        }
    }

    /// `SelfSubjectAccessReview`.
    #[must_use]
    pub fn own_access(reviewer: Reviewer) -> Self {
        Self {
            reviewer,
            review: |reviewer, asked| {
                Box::pin(async move {
                    let review: SelfSubjectAccessReview = asked.of()?;
                    object(reviewer.own_access(asked.user, review).await)
                })
            },
        }
    }

    /// `SelfSubjectRulesReview`.
    #[must_use]
    pub fn own_rules(reviewer: Reviewer) -> Self {
        Self {
            reviewer,
            review: |reviewer, asked| {
                Box::pin(async move {
                    let review: SelfSubjectRulesReview = asked.of()?;
                    object(reviewer.own_rules(asked.user, review).await)
                })
            },
        }
    }

    /// `SubjectAccessReview`.
    #[must_use]
    pub fn access(reviewer: Reviewer) -> Self {
        Self {
            reviewer,
            review: |reviewer, asked| {
                Box::pin(async move { object(reviewer.access(asked.of::<SubjectAccessReview>()?).await) })
            },
        }
    }

    async fn answer_one(&self, asked: Asked<'_>, mut request: Request) -> Answer {
        let (row, namespace) = (&**asked.row, asked.place.namespace.as_str());
        let sent = body::read_json(&mut request).await?;
        let write = write(&request, "CreateOptions")?;
        let mut decoded = decode(row, &sent, write.options.field_validation)?;
        decoded.warnings.into_iter().for_each(|warning| write.warn(warning));
        put_in_namespace(&mut *decoded.object, namespace)?;
        let target = Target { namespace, name: "" };
        let door = Door { operation: Operation::Create, row, subresource: "", target };
        let mut review = Review::object(door, &write, &mut decoded.object);
        asked.registry.admit(&mut review).await?;
        asked.registry.validate(&review).await?;
        let question = Question { user: &request.user, namespace, object: decoded.object };
        let answered = (self.review)(&self.reviewer, question).await?;
        Ok(respond::object(StatusCode::CREATED, request.accept.encoding, answered.encode().into()))
    }
}

impl Answered for Reviews {
    fn answer<'a>(&'a self, asked: Asked<'a>, request: Request) -> BoxFuture<'a, Answer> {
        Box::pin(self.answer_one(asked, request))
    }
}

impl Question<'_> {
    fn of<T: Object + Clone>(&self) -> Result<T, StatusError> {
        let object = self.object.downcast_ref::<T>().cloned();
        object.ok_or_else(|| StatusError::internal(format!("not a {}", type_name::<T>())))
    }
}

fn object<T: Object>(answer: Result<T, StatusError>) -> Result<Box<dyn Object>, StatusError> {
    answer.map(|object| -> Box<dyn Object> { Box::new(object) })
}

/// The namespace in the path counts; another one in the object is a mistake.
fn put_in_namespace(object: &mut dyn Object, namespace: &str) -> Result<(), StatusError> {
    let own = object.meta().namespace.as_deref().unwrap_or_default();
    if !own.is_empty() && !namespace.is_empty() && own != namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(StatusError::bad_request(why));
    }
    object.meta_mut().namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
    Ok(())
}
