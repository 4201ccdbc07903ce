//! Users, created and changed by an admin.

use domain::bedrock::BedrockSettings;
use domain::id::UserId;
use domain::user::{Overrides, User, UserStatus};
use service::id::new_id;
use store::mutation::Written;
use store::propagation::Propagated;
use store::users::StoredUser;

use crate::api::UserView;
use crate::audit::audit_record;
use crate::command::{NewUser, Outcome, UserChange};
use crate::execute::{Admin, AdminError};
use crate::invocation::Invocation;
use crate::settings::{
    check_settings, checked_description, checked_name, checked_overrides, checked_team,
};

/// The attempts of a change that collides with another one of the same user.
const TRIES: usize = 5;

impl Admin {
    pub(crate) async fn create_user(
        &self,
        new: NewUser,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        let settings = checked_overrides(&new.settings)?;
        check_settings(&BedrockSettings::default().with(&settings.bedrock))?;
        let user = User {
            id: new_id(UserId::PREFIX),
            name: checked_name(&new.name)?,
            description: new
                .description
                .as_deref()
                .map(checked_description)
                .transpose()?,
            team: new.team.as_deref().map(checked_team).transpose()?,
            status: UserStatus::Active,
            settings,
            created_at: invocation.now,
            version: 1,
        };
        let view = UserView::from(&user);
        let states = (None, Some(&view));
        let audit = audit_record(invocation, "user.create", &user.id, states)?;
        let mutation = self.access.mutation().create_user(&user)?;
        match mutation.commit(&audit).await? {
            Written::Done => Ok(Outcome::UserCreated(view)),
            Written::ConditionFailed => Err(AdminError::Invalid(
                "the new user id exists already; try again".to_owned(),
            )),
        }
    }

    /// Changes a user in one transaction with its audit record, then rewrites the copies in the user's keys.
    pub(crate) async fn update_user(
        &self,
        id: UserId,
        change: UserChange,
        invocation: &Invocation,
    ) -> Result<Outcome, AdminError> {
        for _ in 0..TRIES {
            let before = self.stored_user(&id).await?.user;
            let after = changed(&before, &change)?;
            if after.settings.bedrock != before.settings.bedrock {
                self.check_keys_with(&after).await?;
            }
            let view = UserView::from(&after);
            let states = (Some(&UserView::from(&before)), Some(&view));
            let audit = audit_record(invocation, "user.update", &id, states)?;
            let mutation = self.access.mutation().update_user(&after)?;
            if mutation.commit(&audit).await? == Written::Done {
                self.finish_user_update(&id).await?;
                return Ok(Outcome::UserUpdated(view));
            }
        }
        Err(AdminError::UserBusy(id))
    }

    /// Rewrites the copies of a user in the user's keys that are outdated, as an update that was interrupted
    /// leaves them. It may be repeated, and interrupted again.
    ///
    /// # Errors
    /// [`AdminError::Store`] when the table fails; the pages that were rewritten stay.
    pub async fn finish_user_update(&self, id: &UserId) -> Result<(), AdminError> {
        while self.access.propagate_user(id).await? == Propagated::Page {}
        Ok(())
    }

    /// Completes the interrupted updates of all users.
    ///
    /// # Errors
    /// [`AdminError::Store`] when the table fails.
    pub async fn finish_user_updates(&self) -> Result<(), AdminError> {
        for user in self.all_stored_users().await? {
            if user.propagation.is_some() {
                self.finish_user_update(&user.user.id).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn stored_user(&self, id: &UserId) -> Result<StoredUser, AdminError> {
        let user = self.access.user(id).await?;
        user.ok_or_else(|| AdminError::NoSuchUser(id.clone()))
    }

    pub(crate) async fn all_users(&self) -> Result<Vec<User>, AdminError> {
        let users = self.all_stored_users().await?.into_iter();
        Ok(users.map(|user| user.user).collect())
    }

    async fn all_stored_users(&self) -> Result<Vec<StoredUser>, AdminError> {
        let mut users = Vec::new();
        let mut after = None;
        loop {
            let page = self.access.users(after.as_deref()).await?;
            users.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(users);
            }
        }
    }

    /// Checks that the overrides of each key of a user work together with the changed settings.
    async fn check_keys_with(&self, user: &User) -> Result<(), AdminError> {
        let changed = BedrockSettings::default().with(&user.settings.bedrock);
        for key in self.all_keys_of(&user.id).await? {
            let settings = changed.clone().with(&key.record.own.bedrock);
            check_settings(&settings).map_err(|error| {
                AdminError::Invalid(format!("the key {}: {error}", key.record.key_id))
            })?;
        }
        Ok(())
    }
}

/// The next version of a user.
fn changed(user: &User, change: &UserChange) -> Result<User, AdminError> {
    if user.status == UserStatus::Deleted {
        return Err(AdminError::UserDeleted(user.id.clone()));
    }
    let settings = match &change.settings {
        Some(settings) => {
            let settings: Overrides = checked_overrides(settings)?;
            check_settings(&BedrockSettings::default().with(&settings.bedrock))?;
            settings
        }
        None => user.settings.clone(),
    };
    let name = change.name.as_deref().map(checked_name).transpose()?;
    let description = change
        .description
        .as_deref()
        .map(checked_description)
        .transpose()?;
    let team = change.team.as_deref().map(checked_team).transpose()?;
    Ok(User {
        id: user.id.clone(),
        name: name.unwrap_or_else(|| user.name.clone()),
        description: description.or_else(|| user.description.clone()),
        team: team.or_else(|| user.team.clone()),
        status: change.status.unwrap_or(user.status),
        settings,
        created_at: user.created_at,
        version: user.version + 1,
    })
}
