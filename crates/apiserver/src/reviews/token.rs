//! Whose token it is, and who asks.

use api_types::{
    StatusError,
    authentication::{SelfSubjectReview, SelfSubjectReviewStatus, TokenReview, TokenReviewStatus, UserInfo},
    jiff::Timestamp,
    meta::{ObjectMeta, Time},
};
use component::auth::{Presented, User};
use http::{HeaderMap, HeaderValue, header};

use super::Reviewer;

fn info(user: &User) -> UserInfo {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    UserInfo {
        username: text(&user.name),
        uid: text(&user.uid),
        groups: Some(user.groups.clone()).filter(|groups| !groups.is_empty()),
        extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
    }
}

impl Reviewer {
    /// Says whose token it is.
    ///
    /// # Errors
    /// 400 when there is no token, or one that no header can hold; 500 when the authenticators do not tell for whom it
    /// was made.
    pub async fn token(&self, mut review: TokenReview) -> Result<TokenReview, StatusError> {
        let token = &review.spec.token;
        if token.is_empty() {
            return Err(StatusError::bad_request("token is required for TokenReview in authentication"));
        }
        // One word: of more, a header would hold another token, or none.
        let value = (!token.contains(char::is_whitespace)).then(|| HeaderValue::try_from(format!("Bearer {token}")));
        let headers: HeaderMap = value.into_iter().flatten().map(|value| (header::AUTHORIZATION, value)).collect();
        let audiences = review.spec.audiences.clone().unwrap_or_default();
        let presented = Presented { headers: &headers, peer: None, audiences: &audiences };
        let mut status = TokenReviewStatus { user: Some(UserInfo::default()), ..TokenReviewStatus::default() };
        match self.authenticator.authenticate(presented).await {
            // No header can hold it, so it was not looked at.
            _ if headers.is_empty() => status.error = Some("invalid bearer token".to_owned()),
            Ok(None) => {}
            Ok(Some(identity)) => {
                if !audiences.is_empty() && !identity.audiences.iter().any(|own| audiences.contains(own)) {
                    return Err(StatusError::internal("error validating audiences"));
                }
                status.authenticated = Some(true);
                status.user = Some(info(&identity.user));
                status.audiences = Some(identity.audiences).filter(|audiences| !audiences.is_empty());
            }
            Err(error) => status.error = Some(format!("{error:#}")),
        }
        review.status = Some(status);
        Ok(review)
    }

    /// Says who asks.
    #[must_use]
    pub fn who_asks(&self, user: &User) -> SelfSubjectReview {
        SelfSubjectReview {
            metadata: ObjectMeta { creation_timestamp: Some(Time(Timestamp::now())), ..ObjectMeta::default() },
            status: Some(SelfSubjectReviewStatus { user_info: Some(info(user)) }),
        }
    }
}
