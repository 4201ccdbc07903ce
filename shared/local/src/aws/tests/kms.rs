use aws_sdk_kms::Client;
use aws_sdk_kms::operation::decrypt::{DecryptError, DecryptOutput};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeyState, KeyUsageType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use proptest::prelude::*;

use super::super::LocalAws;
use super::{code, memory};

type Context<'a> = &'a [(&'a str, &'a str)];

async fn encrypt(aws: &LocalAws, plaintext: &[u8], context: Context<'_>) -> Blob {
    let mut call = aws
        .kms()
        .encrypt()
        .key_id(aws.kms_key_id())
        .plaintext(Blob::new(plaintext));
    for (name, value) in context {
        call = call.encryption_context(*name, *value);
    }
    call.send().await.unwrap().ciphertext_blob.unwrap()
}

async fn decrypt(
    kms: &Client,
    sealed: Blob,
    context: Context<'_>,
) -> Result<DecryptOutput, SdkError<DecryptError, HttpResponse>> {
    let mut call = kms.decrypt().ciphertext_blob(sealed);
    for (name, value) in context {
        call = call.encryption_context(*name, *value);
    }
    call.send().await
}

#[tokio::test]
async fn ciphertext_is_decrypted_under_the_same_context() {
    let aws = memory();
    let context = [("key", "k1"), ("user", "u1")];
    let sealed = encrypt(&aws, b"secret", &context).await;
    // The order of a context is not significant.
    let opened = decrypt(&aws.kms(), sealed, &[("user", "u1"), ("key", "k1")])
        .await
        .unwrap();
    assert_eq!(opened.plaintext.unwrap().as_ref(), b"secret");
    assert!(opened.key_id.unwrap().ends_with(aws.kms_key_id()));
}

#[tokio::test]
async fn ciphertext_is_rejected_under_another_context() {
    let aws = memory();
    let sealed = encrypt(&aws, b"secret", &[("key", "k1"), ("user", "u1")]).await;
    let others: [Context<'_>; 6] = [
        &[],
        &[("key", "k1")],
        &[("key", "k1"), ("user", "u2")],
        &[("key", "u1"), ("user", "k1")],
        &[("key", "k1"), ("user", "u1"), ("more", "")],
        // The same letters without separators.
        &[("keyk1useru1", "")],
    ];
    for context in others {
        let error = decrypt(&aws.kms(), sealed.clone(), context)
            .await
            .unwrap_err();
        let error = error.into_service_error();
        assert!(
            error.is_invalid_ciphertext_exception(),
            "{context:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn ciphertext_with_a_changed_bit_is_rejected() {
    let aws = memory();
    let sealed = encrypt(&aws, b"secret", &[]).await;
    for at in 0..sealed.as_ref().len() {
        let mut tampered = sealed.as_ref().to_vec();
        tampered[at] ^= 1;
        let error = decrypt(&aws.kms(), Blob::new(tampered), &[])
            .await
            .unwrap_err();
        assert!(
            error.into_service_error().is_invalid_ciphertext_exception(),
            "byte {at}"
        );
    }
    for length in [0, 1, 20, sealed.as_ref().len() - 1] {
        let cut = Blob::new(&sealed.as_ref()[..length]);
        let error = decrypt(&aws.kms(), cut, &[]).await.unwrap_err();
        assert!(
            error.into_service_error().is_invalid_ciphertext_exception(),
            "length {length}"
        );
    }
}

#[tokio::test]
async fn ciphertext_of_another_machine_is_rejected() {
    let sealed = encrypt(&memory(), b"secret", &[]).await;
    let error = decrypt(&memory().kms(), sealed, &[]).await.unwrap_err();
    assert!(error.into_service_error().is_invalid_ciphertext_exception());
}

#[tokio::test]
async fn same_plaintext_gives_different_ciphertexts() {
    let aws = memory();
    assert_ne!(
        encrypt(&aws, b"secret", &[]).await,
        encrypt(&aws, b"secret", &[]).await
    );
}

#[tokio::test]
async fn data_key_is_returned_in_plaintext_and_encrypted() {
    let aws = memory();
    let call = aws
        .kms()
        .generate_data_key()
        .key_id("alias/spillway")
        .key_spec(DataKeySpec::Aes256);
    let key = call.encryption_context("user", "u1").send().await.unwrap();
    let plaintext = key.plaintext.unwrap();
    assert_eq!(plaintext.as_ref().len(), 32);
    let opened = decrypt(&aws.kms(), key.ciphertext_blob.unwrap(), &[("user", "u1")]).await;
    assert_eq!(opened.unwrap().plaintext.unwrap(), plaintext);

    let short = aws
        .kms()
        .generate_data_key()
        .key_id(aws.kms_key_id())
        .number_of_bytes(24);
    assert_eq!(
        short
            .send()
            .await
            .unwrap()
            .plaintext
            .unwrap()
            .as_ref()
            .len(),
        24
    );
}

#[tokio::test]
async fn data_key_needs_exactly_one_length() {
    let aws = memory();
    let call = || aws.kms().generate_data_key().key_id(aws.kms_key_id());
    let both = call()
        .key_spec(DataKeySpec::Aes256)
        .number_of_bytes(32)
        .send()
        .await
        .unwrap_err();
    let neither = call().send().await.unwrap_err();
    let too_long = call().number_of_bytes(1025).send().await.unwrap_err();
    for error in [both, neither, too_long] {
        assert_eq!(code(&error), "ValidationException");
    }
}

#[tokio::test]
async fn key_is_found_by_id_alias_and_their_arns() {
    let aws = memory();
    let id = aws.kms_key_id();
    let arn = format!("arn:aws:kms:local-1:000000000000:key/{id}");
    for name in [
        id,
        &arn,
        "alias/spillway",
        "arn:aws:kms:local-1:000000000000:alias/spillway",
    ] {
        let described = aws.kms().describe_key().key_id(name).send().await.unwrap();
        let metadata = described.key_metadata.unwrap();
        assert_eq!(metadata.key_id, id);
        assert_eq!(metadata.arn.as_deref(), Some(arn.as_str()));
        assert_eq!(metadata.key_state, Some(KeyState::Enabled));
        assert_eq!(metadata.key_usage, Some(KeyUsageType::EncryptDecrypt));
    }
    let error = aws
        .kms()
        .describe_key()
        .key_id("alias/other")
        .send()
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_not_found_exception());
    let sealed = encrypt(&aws, b"x", &[]).await;
    let elsewhere = aws
        .kms()
        .decrypt()
        .ciphertext_blob(sealed)
        .key_id("alias/other");
    let error = elsewhere.send().await.unwrap_err();
    assert!(error.into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn plaintext_length_has_a_minimum_and_a_maximum() {
    let aws = memory();
    for length in [0, 4097] {
        let plaintext = Blob::new(vec![0; length]);
        let call = aws
            .kms()
            .encrypt()
            .key_id(aws.kms_key_id())
            .plaintext(plaintext);
        let error = call.send().await.unwrap_err();
        assert_eq!(code(&error), "ValidationException", "{length}");
    }
    let longest = vec![7; 4096];
    let sealed = encrypt(&aws, &longest, &[]).await;
    let opened = decrypt(&aws.kms(), sealed, &[]).await.unwrap();
    assert_eq!(opened.plaintext.unwrap().as_ref(), longest);
}

#[tokio::test]
async fn unknown_operation_is_rejected() {
    let error = memory().kms().create_key().send().await.unwrap_err();
    assert_eq!(code(&error), "UnknownOperationException");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ciphertext_is_decrypted_under_an_equal_context_only(
        one in proptest::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3),
        other in proptest::collection::btree_map("[ab]{0,2}", "[ab]{0,2}", 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let opened = runtime.block_on(async {
            let aws = memory();
            let borrowed = |context: &'_ std::collections::BTreeMap<String, String>| {
                context.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>()
            };
            let (seal, open) = (borrowed(&one), borrowed(&other));
            let seal: Vec<_> = seal.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let open: Vec<_> = open.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let sealed = encrypt(&aws, b"secret", &seal).await;
            decrypt(&aws.kms(), sealed, &open).await.is_ok()
        });
        prop_assert_eq!(opened, one == other);
    }
}
