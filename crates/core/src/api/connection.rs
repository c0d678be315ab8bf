//! The protection of a connection to Kafka and its login: the same block in a KafkaCluster and,
//! beside `bootstrapServers`, in a ConsumerGroup. It names the objects that hold passwords, keys
//! and certificates, and never contains them.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{DNS_SUBDOMAIN, rule};

/// The valid keys of Secrets and ConfigMaps.
const KEY: &str = "self.matches('^[-._a-zA-Z0-9]+$')";

/// The rules over `tls`, `sasl` and `allowInsecure` together, for the object that holds the three
/// (SAFE-37).
pub(super) fn rules() -> [Value; 2] {
    [
        rule(
            "!has(self.sasl) || has(self.tls) || self.sasl.mechanism.startsWith('SCRAM') || self.sasl.mechanism == 'GSSAPI' || (has(self.allowInsecure) && self.allowInsecure)",
            "PLAIN, OAUTHBEARER and AWS_MSK_IAM without tls show the password or token to the network: add tls ({} trusts the system's roots), or set allowInsecure: true",
        ),
        rule(
            "!has(self.sasl) || !has(self.sasl.oauth) || self.sasl.oauth.tokenEndpoint.startsWith('https:') || (has(self.allowInsecure) && self.allowInsecure)",
            "sasl.oauth.tokenEndpoint over http shows the client secret to the network: write https://, or set allowInsecure: true",
        ),
    ]
}

/// TLS settings. The empty object is enough if the brokers' certificates are signed by an authority
/// that the operator's system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// CA certificates for the brokers' certificates. Absent: those that the operator's system
    /// trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub trusted_certificates: Option<Vec<CertificateSource>>,

    /// The certificate that Lagrange presents to the brokers (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
}

/// The place of CA certificates: one or more in PEM, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.secretName) != has(self.configMapName)", "set exactly one of secretName and configMapName")]))]
pub struct CertificateSource {
    /// Name of a Secret in this resource's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "secret_name")]
    pub secret_name: Option<String>,

    /// Name of a ConfigMap in this resource's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "config_map_name")]
    pub config_map_name: Option<String>,

    /// Key of the Secret or ConfigMap.
    #[serde(default = "ca_crt")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

/// A client certificate and its private key, both in PEM and in one Secret. The default keys are
/// those of a Strimzi KafkaUser; cert-manager writes `tls.crt` and `tls.key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// Name of a Secret in this resource's namespace.
    #[schemars(schema_with = "secret_name")]
    pub secret_name: String,

    /// Key of the certificate, which may be followed by its intermediate certificates.
    #[serde(default = "user_crt")]
    #[schemars(schema_with = "key")]
    pub certificate_key: String,

    /// Key of the private key, which must not be encrypted.
    #[serde(default = "user_key")]
    #[schemars(schema_with = "key")]
    pub private_key_key: String,
}

/// The SASL login.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.mechanism in ['OAUTHBEARER', 'AWS_MSK_IAM', 'GSSAPI'] || (has(self.passwordSecret) && has(self.username) != has(self.usernameSecret))",
        "PLAIN and SCRAM need passwordSecret and exactly one of username and usernameSecret"),
    rule("!(self.mechanism in ['OAUTHBEARER', 'AWS_MSK_IAM', 'GSSAPI']) || !(has(self.username) || has(self.usernameSecret) || has(self.passwordSecret))",
        "username, usernameSecret and passwordSecret go with PLAIN and SCRAM: OAUTHBEARER logs in by oauth, AWS_MSK_IAM by aws, GSSAPI by the operator's keytab"),
    rule("(self.mechanism == 'OAUTHBEARER') == has(self.oauth)",
        "oauth goes with mechanism: OAUTHBEARER, and OAUTHBEARER needs oauth"),
    rule("(self.mechanism == 'AWS_MSK_IAM') == has(self.aws)",
        "aws goes with mechanism: AWS_MSK_IAM, and AWS_MSK_IAM needs aws"),
    rule("self.mechanism == 'GSSAPI' || !has(self.kerberos)",
        "kerberos goes with mechanism: GSSAPI"),
]))]
pub struct SaslSpec {
    /// The SASL mechanism, which the brokers' listener must offer. AWS_MSK_IAM is specific to
    /// Amazon MSK. GSSAPI is Kerberos, which only an operator that is built with it supports.
    pub mechanism: SaslMechanism,

    /// User name, with PLAIN and SCRAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub username: Option<String>,

    /// Instead of username: the Secret that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_secret: Option<UsernameRef>,

    /// The password, with PLAIN and SCRAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<PasswordRef>,

    /// With OAUTHBEARER: the token endpoint and the client that requests a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthSpec>,

    /// With AWS_MSK_IAM: the region, and the credentials to sign with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsSpec>,

    /// With GSSAPI: the brokers' Kerberos service. The operator logs in with its own keytab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kerberos: Option<KerberosSpec>,
}

/// The SASL mechanism, as in Kafka's `sasl.mechanism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// User and password, sent in plain text.
    #[serde(rename = "PLAIN")]
    Plain,
    /// User and password; only a proof of the password is sent.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with the longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token from an OAuth server.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    /// A request signed with an AWS access key, from which Amazon MSK derives the IAM identity. On
    /// the wire it is OAUTHBEARER.
    #[serde(rename = "AWS_MSK_IAM")]
    AwsMskIam,
    /// A Kerberos ticket, which the operator gets with its own keytab: only in the namespaces that
    /// its `--ambient-identity-namespaces` names, and in builds with the feature `gssapi`.
    #[serde(rename = "GSSAPI")]
    Gssapi,
}

/// The Secret that holds a user name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsernameRef {
    /// Name of a Secret in this resource's namespace.
    #[schemars(schema_with = "secret_name")]
    pub secret_name: String,

    /// Key of the user name.
    #[serde(default = "username")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

/// The Secret that holds a password.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordRef {
    /// Name of a Secret in this resource's namespace.
    #[schemars(schema_with = "secret_name")]
    pub secret_name: String,

    /// Key of the password.
    #[serde(default = "password")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

/// The Secret that holds the secret of an OAuth client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecretRef {
    /// Name of a Secret in this resource's namespace.
    #[schemars(schema_with = "secret_name")]
    pub secret_name: String,

    /// Key of the client's secret.
    #[serde(default = "client_secret")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

/// Tokens from an OAuth server, by the client credentials grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OauthSpec {
    /// URL of the OAuth server's token endpoint. Redirects are not followed.
    #[schemars(length(max = 512), extend("x-kubernetes-validations" = [
        rule(r"self.matches('^https?://([a-zA-Z0-9._-]+|\\[[0-9a-fA-F:.]+\\])(:[1-9][0-9]{0,4})?(/[!-~]*)?$')",
            "write the token endpoint as a URL, such as https://login.example.com/oauth2/token")]))]
    pub token_endpoint: String,

    /// Id of the client.
    #[schemars(length(min = 1, max = 255))]
    pub client_id: String,

    /// The client's secret.
    pub client_secret: ClientSecretRef,

    /// Scope to request; several are separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub scope: Option<String>,

    /// SASL extensions to send with the token, such as Confluent Cloud's logicalCluster and
    /// identityPoolId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "extensions")]
    pub extensions: Option<BTreeMap<String, String>>,

    /// CA certificates for the OAuth server's certificate. Absent: those that the operator's system
    /// trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub trusted_certificates: Option<Vec<CertificateSource>>,
}

/// A region and an identity of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsSpec {
    /// Region of the Kafka cluster.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = [
        rule("self.matches('^[a-z]+(-[a-z]+)+-[0-9]{1,2}$')", "write a region of AWS, such as eu-central-1")]))]
    pub region: String,

    /// The access key to sign with. Absent: the role of the operator's own Pod (EKS Pod Identity or
    /// IRSA), which only the namespaces in the operator's --ambient-identity-namespaces may use, by
    /// default only its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<AwsCredentialsRef>,
}

/// Kerberos settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KerberosSpec {
    /// First part of the brokers' principals, as in Kafka's sasl.kerberos.service.name: kafka in
    /// kafka/broker.example.com@EXAMPLE.COM.
    #[serde(default = "kafka")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [
        rule("self.matches('^[a-zA-Z0-9._-]+$')", "write the first part of the brokers' principals, such as kafka")]))]
    pub service_name: String,
}

/// The Secret that holds an AWS access key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsCredentialsRef {
    /// Name of a Secret in this resource's namespace.
    #[schemars(schema_with = "secret_name")]
    pub secret_name: String,

    /// Key of the access key's id.
    #[serde(default = "access_key_id")]
    #[schemars(schema_with = "key")]
    pub access_key_id_key: String,

    /// Key of the secret access key.
    #[serde(default = "secret_access_key")]
    #[schemars(schema_with = "key")]
    pub secret_access_key_key: String,

    /// Key of the session token, which temporary credentials have. The Secret must be updated when
    /// they are renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key")]
    pub session_token_key: Option<String>,
}

fn kafka() -> String {
    "kafka".to_owned()
}

fn ca_crt() -> String {
    "ca.crt".to_owned()
}

fn user_crt() -> String {
    "user.crt".to_owned()
}

fn user_key() -> String {
    "user.key".to_owned()
}

fn username() -> String {
    "username".to_owned()
}

fn password() -> String {
    "password".to_owned()
}

fn client_secret() -> String {
    "clientSecret".to_owned()
}

fn access_key_id() -> String {
    "accessKeyId".to_owned()
}

fn secret_access_key() -> String {
    "secretAccessKey".to_owned()
}

fn secret_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [rule(DNS_SUBDOMAIN, "write the name of a Secret: lower case letters, digits, '-' and '.'")],
    })
}

fn config_map_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [rule(DNS_SUBDOMAIN, "write the name of a ConfigMap: lower case letters, digits, '-' and '.'")],
    })
}

fn key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [rule(KEY, "write a key of the Secret or ConfigMap: letters, digits, '-', '_' and '.'")],
    })
}

/// Names and values as in RFC 7628, in printable characters only. `auth` is reserved for the token.
fn extensions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "type": "string",
            "maxLength": 255,
            "x-kubernetes-validations": [rule("self.matches('^[ -~]*$')", "write the value of an extension in printable ASCII characters")],
        },
        "x-kubernetes-validations": [rule(
            "self.all(name, name.matches('^[a-zA-Z]+$') && name != 'auth')",
            "write names of extensions in letters alone; auth is the token's own",
        )],
    })
}
