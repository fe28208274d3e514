//! Buckets: how each cloud is told what it has to know.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use url::Url;

use crate::OpenError;

/// Somebody waits for an answer: what does not come back soon is tried again by who asked.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(10) }
}

/// Tells a builder its settings; those that are another cloud's it does not know.
macro_rules! told {
    ($builder:expr, $options:expr) => {
        $options.into_iter().fold($builder, |builder, (name, value)| {
            match name.to_ascii_lowercase().parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            }
        })
    };
}

/// The bucket that a URL names, and in it the folder.
pub(crate) fn bucket(
    url: &Url,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, OpenError> {
    let prefix = Path::from_url_path(url.path()).map_err(|_| OpenError::Url)?;
    match url.scheme() {
        "s3" => {
            let builder = AmazonS3Builder::new().with_url(url.as_str()).with_retry(retry());
            let bucket = told!(builder, options).build().map_err(OpenError::Settings)?;
            Ok(Arc::new(PrefixStore::new(bucket, prefix)))
        }
        #[cfg(feature = "gcs")]
        "gs" => {
            let builder = object_store::gcp::GoogleCloudStorageBuilder::new();
            let builder = builder.with_url(url.as_str()).with_retry(retry());
            let bucket = told!(builder, options).build().map_err(OpenError::Settings)?;
            Ok(Arc::new(PrefixStore::new(bucket, prefix)))
        }
        #[cfg(feature = "azure")]
        "az" => {
            let builder = object_store::azure::MicrosoftAzureBuilder::new();
            let builder = builder.with_url(url.as_str()).with_retry(retry());
            let bucket = told!(builder, options).build().map_err(OpenError::Settings)?;
            Ok(Arc::new(PrefixStore::new(bucket, prefix)))
        }
        _ => Err(OpenError::Url),
    }
}
