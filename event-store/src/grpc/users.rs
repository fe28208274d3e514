//! The Users service: admins manage users, and users change their own passwords.

use std::{fmt, sync::Arc};

use futures::stream;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{
    fault::Fault,
    proto::users::{
        ChangePasswordReq, ChangePasswordResp, CreateReq, CreateResp, DeleteReq, DeleteResp,
        DetailsReq, DetailsResp, DisableReq, DisableResp, EnableReq, EnableResp, ResetPasswordReq,
        ResetPasswordResp, UpdateReq, UpdateResp, change_password_req, create_req,
        details_resp::{UserDetails, user_details::DateTime},
        reset_password_req, update_req,
        users_server::Users,
    },
    streams::Answers,
};
use crate::access::{
    Gate, Operation, Refusal,
    directory::Stored,
    user::{User, check_full_name, check_groups, check_login, check_password},
};

/// How often a password is changed again when others change the same user.
const TRIES: usize = 3;

/// The service.
pub(crate) struct Service {
    pub(crate) access: Arc<Gate>,
}

impl Service {
    async fn admin(&self, metadata: &MetadataMap) -> Result<(), Fault> {
        self.access.authorize(metadata, Operation::ManageUsers).await
    }

    async fn change(
        &self,
        metadata: &MetadataMap,
        login: &str,
        event_type: &'static str,
        change: impl Fn(&mut User),
    ) -> Result<(), Fault> {
        self.admin(metadata).await?;
        check_login(login).map_err(Fault::bad)?;
        self.access.directory().change(login, event_type, change).await
    }

    /// A user changes the own password, or an admin that of another, who says it.
    async fn change_password(
        &self,
        metadata: &MetadataMap,
        login: &str,
        current: &str,
        new: String,
    ) -> Result<(), Fault> {
        let visit = self.access.admit(metadata).await?;
        if visit.login() != Some(login) {
            visit.check(Operation::ManageUsers).await?;
        }
        check_login(login).map_err(Fault::bad)?;
        check_password(&new).map_err(Fault::bad)?;
        let directory = self.access.directory();
        let passwords = self.access.passwords();
        let mut hash = None;
        for _ in 0..TRIES {
            let found = directory.get(login).await?;
            let user = (found.place.position, found.user());
            if !passwords.verify(login, current, Some(user)).await? {
                return Err(Refusal::Denied.into());
            }
            let hash = match &hash {
                Some(hash) => hash,
                None => hash.insert(passwords.hash(new.clone()).await?),
            };
            let changed = User { hash: String::clone(hash), ..found.user().clone() };
            if directory.replace(&found, "$PasswordChanged", &changed).await? {
                return Ok(());
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn details(
        &self,
        metadata: &MetadataMap,
        login: &str,
    ) -> Result<Vec<DetailsResp>, Fault> {
        let visit = self.access.admit(metadata).await?;
        let is_own = !login.is_empty() && visit.login() == Some(login);
        if !is_own {
            visit.check(Operation::ManageUsers).await?;
        }
        let directory = self.access.directory();
        if !login.is_empty() {
            check_login(login).map_err(Fault::bad)?;
            return Ok(vec![details(directory.get(login).await?.stored())]);
        }
        let mut users = Vec::new();
        for name in directory.names().await? {
            users.extend(directory.find(&name).await?.map(|found| details(found.stored())));
        }
        Ok(users)
    }
}

fn details(stored: &Stored) -> DetailsResp {
    let user = &stored.user;
    let ticks = i64::try_from(stored.changed).unwrap_or(i64::MAX);
    DetailsResp {
        user_details: Some(UserDetails {
            login_name: user.login_name.clone(),
            full_name: user.full_name.clone(),
            groups: user.groups.clone(),
            last_updated: Some(DateTime { ticks_since_epoch: ticks }),
            disabled: user.disabled,
        }),
    }
}

fn some<T>(options: Option<T>) -> Result<T, Fault> {
    options.ok_or_else(|| Fault::bad("the options are missing"))
}

#[tonic::async_trait]
impl Users for Service {
    type DetailsStream = Answers<DetailsResp>;

    async fn create(&self, request: Request<CreateReq>) -> Result<Response<CreateResp>, Status> {
        self.admin(request.metadata()).await?;
        let options = some(request.into_inner().options)?;
        check_login(&options.login_name).map_err(Fault::bad)?;
        check_full_name(&options.full_name).map_err(Fault::bad)?;
        check_groups(&options.groups).map_err(Fault::bad)?;
        check_password(&options.password).map_err(Fault::bad)?;
        let user = User {
            login_name: options.login_name,
            full_name: options.full_name,
            groups: options.groups,
            disabled: false,
            hash: self.access.passwords().hash(options.password).await?,
        };
        self.access.directory().create(&user).await?;
        Ok(Response::new(CreateResp {}))
    }

    async fn update(&self, request: Request<UpdateReq>) -> Result<Response<UpdateResp>, Status> {
        let (metadata, _, request) = request.into_parts();
        let options = some(request.options)?;
        check_full_name(&options.full_name).map_err(Fault::bad)?;
        check_groups(&options.groups).map_err(Fault::bad)?;
        self.change(&metadata, &options.login_name, "$UserUpdated", |user| {
            user.full_name.clone_from(&options.full_name);
            user.groups.clone_from(&options.groups);
        })
        .await?;
        Ok(Response::new(UpdateResp {}))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.admin(request.metadata()).await?;
        let login = some(request.into_inner().options)?.login_name;
        check_login(&login).map_err(Fault::bad)?;
        self.access.directory().delete(&login).await?;
        Ok(Response::new(DeleteResp {}))
    }

    async fn disable(&self, request: Request<DisableReq>) -> Result<Response<DisableResp>, Status> {
        let (metadata, _, request) = request.into_parts();
        let login = some(request.options)?.login_name;
        self.change(&metadata, &login, "$UserDisabled", |user| user.disabled = true).await?;
        Ok(Response::new(DisableResp {}))
    }

    async fn enable(&self, request: Request<EnableReq>) -> Result<Response<EnableResp>, Status> {
        let (metadata, _, request) = request.into_parts();
        let login = some(request.options)?.login_name;
        self.change(&metadata, &login, "$UserEnabled", |user| user.disabled = false).await?;
        Ok(Response::new(EnableResp {}))
    }

    async fn details(
        &self,
        request: Request<DetailsReq>,
    ) -> Result<Response<Self::DetailsStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let login = request.options.map(|options| options.login_name).unwrap_or_default();
        let users = Service::details(self, &metadata, &login).await?;
        Ok(Response::new(Box::pin(stream::iter(users.into_iter().map(Ok)))))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordReq>,
    ) -> Result<Response<ChangePasswordResp>, Status> {
        let (metadata, _, request) = request.into_parts();
        let options = some(request.options)?;
        let (login, current) = (options.login_name, options.current_password);
        Service::change_password(self, &metadata, &login, &current, options.new_password).await?;
        Ok(Response::new(ChangePasswordResp {}))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordReq>,
    ) -> Result<Response<ResetPasswordResp>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.admin(&metadata).await?;
        let options = some(request.options)?;
        check_password(&options.new_password).map_err(Fault::bad)?;
        let hash = self.access.passwords().hash(options.new_password).await?;
        self.change(&metadata, &options.login_name, "$PasswordChanged", |user| {
            user.hash.clone_from(&hash);
        })
        .await?;
        Ok(Response::new(ResetPasswordResp {}))
    }
}

/// Messages that hold passwords show the login name and nothing else.
macro_rules! discreet {
    ($($message:ty),+) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "Options {{ login_name: {:?}, .. }}", self.login_name)
            }
        })+
    };
}

discreet!(
    create_req::Options,
    update_req::Options,
    change_password_req::Options,
    reset_password_req::Options
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_printed() {
        let options = create_req::Options {
            login_name: "ann".to_owned(),
            password: "secret".to_owned(),
            ..create_req::Options::default()
        };
        let request = format!("{:?}", CreateReq { options: Some(options) });
        assert!(request.contains("ann") && !request.contains("secret"), "{request}");
        let configured = crate::Credentials {
            admin_password: Some("secret".to_owned().into()),
            ..crate::Credentials::default()
        };
        assert!(!format!("{configured:?}").contains("secret"));
    }
}
