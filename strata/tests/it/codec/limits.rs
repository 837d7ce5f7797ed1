//! What a key, a value and tags may measure: at each limit all is well, and one more is an error of its own kind.

use bytes::Bytes;
use strata::codec::{CodecError, Framer, Raw};
use strata::{Cache, Key, KeyError, Tag, TagError, Tags};

use super::{header, key};

/// The rendered key is what stands outside the process, so it is measured where a frame needs it: a typed key in memory is
/// never rendered on a hit.
#[test]
fn a_key_of_one_kibibyte_is_the_longest() {
    // H04
    assert!(Key::new("k".repeat(1024)).is_ok());
    let error = Key::new("k".repeat(1025)).expect_err("one too many");
    assert_eq!(error, KeyError::TooLong { bytes: 1025 });
    let cut = Key::from_utf8("é".repeat(513).as_bytes()).expect_err("two too many");
    assert_eq!(cut, KeyError::TooLong { bytes: 1026 });
    assert!(!error.to_string().contains("kk") && error.to_string().contains("1024"));
}

#[test]
fn a_value_of_sixteen_mebibytes_is_the_largest() {
    // H04
    const LIMIT: usize = 16 << 20;
    let framer: Framer<Bytes> = Framer::new("blob", Raw);
    let largest = Bytes::from(vec![7; LIMIT]);
    let frame = framer.encode(&key("k"), &largest, &header()).expect("at the limit");
    assert_eq!(framer.decode(&key("k"), &frame).expect("whole").value, largest);
    let error = framer.encode(&key("k"), &Bytes::from(vec![7; LIMIT + 1]), &header()).expect_err("over it");
    assert!(matches!(error, CodecError::TooLarge { bytes, limit: LIMIT } if bytes == LIMIT + 1), "{error}");
}

#[tokio::test]
async fn an_entry_with_one_tag_too_many_cannot_be_asked_for() {
    // H04
    let numbered = |count: usize| Tags::new((0..count).map(|number| number.to_string()));
    assert_eq!(numbered(65), Err(TagError::TooMany));
    assert_eq!(Tag::new("t".repeat(257)), Err(TagError::TooLong { bytes: 257 }));
    assert!(Tag::new("t".repeat(256)).is_ok());
    let cache: Cache<u8, u8> = Cache::builder("tagged").build().expect("legal");
    let options = strata::Options::new().with_tags(numbered(64).expect("at the limit"));
    assert!(cache.insert_with(1, 1, options).await.expect("memory").is_stored());
    assert_eq!(cache.remove_tag("63").await.expect("memory"), 1);
}
