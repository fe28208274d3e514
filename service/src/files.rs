//! What every process is told about the storage of files.

use std::fmt;

use crate::ConfigError;

/// Settings of the clouds, called as their own tools call them. The storage takes what it knows.
const CLOUD: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ALLOW_HTTP",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_KMS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_TENANT_ID",
];

const LARGEST: &str = "ROUNDTABLE_FILES_LARGEST";
const QUOTA: &str = "ROUNDTABLE_FILES_QUOTA";

/// Where files are kept, and how many.
#[derive(Clone)]
pub struct FileSettings {
    /// `ROUNDTABLE_FILES_URL`: a folder, `file://`, `s3://`, `gs://` or `az://`; `.roundtable/files`
    /// by default. The same for command-api, query-api and projector.
    pub url: String,
    /// What the cloud of the URL needs (`AWS_REGION`, ...).
    pub cloud: Vec<(String, String)>,
    /// `ROUNDTABLE_FILES_LARGEST`: the most bytes of one file; 25 MiB by default.
    pub largest: u64,
    /// `ROUNDTABLE_FILES_QUOTA`: the most bytes of all files of one person; 1 GiB by default.
    pub quota: u64,
}

/// Shows no setting of a cloud, because they hold keys.
impl fmt::Debug for FileSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSettings")
            .field("largest", &self.largest)
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

impl FileSettings {
    /// A folder of this machine, with the usual bounds.
    pub fn in_folder(folder: &std::path::Path) -> Self {
        let settings = Self::read(|_| None).expect("what is not said is not wrong");
        Self { url: folder.display().to_string(), ..settings }
    }

    /// Reads the variables.
    ///
    /// # Errors
    /// When one is wrong.
    pub(crate) fn read(optional: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let bytes = |name: &'static str, default: u64| match optional(name) {
            None => Ok(default),
            Some(text) => match text.trim().parse() {
                Ok(bytes) if bytes > 0 => Ok(bytes),
                _ => Err(ConfigError::Wrong { name, expected: "a number of bytes" }),
            },
        };
        let cloud = CLOUD.iter().filter_map(|name| Some(((*name).to_owned(), optional(name)?)));
        Ok(Self {
            url: optional("ROUNDTABLE_FILES_URL").unwrap_or_else(|| ".roundtable/files".to_owned()),
            cloud: cloud.collect(),
            largest: bytes(LARGEST, 25 * 1024 * 1024)?,
            quota: bytes(QUOTA, 1024 * 1024 * 1024)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default_and_what_is_wrong_is_named() {
        let settings = FileSettings::read(|_| None).unwrap();
        assert_eq!((settings.largest, settings.quota), (26_214_400, 1_073_741_824));
        assert!(settings.cloud.is_empty());
        for (name, wrong) in [(LARGEST, "25 MiB"), (QUOTA, "0"), (QUOTA, "-1")] {
            let refused = FileSettings::read(|asked| (asked == name).then(|| wrong.to_owned()));
            assert!(refused.unwrap_err().to_string().starts_with(name));
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let settings = FileSettings::read(|name| {
            Some(match name {
                LARGEST | QUOTA => "1".to_owned(),
                _ => "secret-word".to_owned(),
            })
        });
        let settings = settings.unwrap();
        assert_eq!(settings.cloud.len(), CLOUD.len());
        assert!(!format!("{settings:?}").contains("secret-word"));
    }
}
