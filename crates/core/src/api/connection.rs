//! How a connection to Kafka is protected and who logs in over it: the same block in a KafkaCluster
//! and, beside `bootstrapServers`, in a ConsumerGroup. Passwords, keys and certificates are named
//! here and never written here.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{DNS_SUBDOMAIN, rule};

/// What the keys of Secrets and ConfigMaps may be.
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

/// TLS. The empty object is enough where the brokers' certificates are signed by an authority that
/// every system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Authorities that may have signed the brokers' certificates. Absent: those that the
    /// operator's system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub trusted_certificates: Option<Vec<CertificateSource>>,

    /// The certificate that Lagrange shows to the brokers (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
}

/// Where certificates of authorities are: one or more in PEM, one after the other.
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

/// A client's certificate and its private key, both in PEM and in one Secret. The keys' defaults
/// are those of a Strimzi KafkaUser; cert-manager writes `tls.crt` and `tls.key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// Name of a Secret in this resource's namespace.
    #[schemars(schema_with = "secret_name")]
    pub secret_name: String,

    /// Key of the certificate, which may be followed by those that lead to its authority.
    #[serde(default = "user_crt")]
    #[schemars(schema_with = "key")]
    pub certificate_key: String,

    /// Key of the private key, which must not be encrypted.
    #[serde(default = "user_key")]
    #[schemars(schema_with = "key")]
    pub private_key_key: String,
}

/// Who logs in, and how.
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
    /// How one logs in: what the brokers' listener offers. AWS_MSK_IAM is Amazon MSK's own. GSSAPI
    /// is Kerberos, which only an operator that is built with it has.
    pub mechanism: SaslMechanism,

    /// User name, with PLAIN and SCRAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub username: Option<String>,

    /// Instead of username: a Secret that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_secret: Option<UsernameRef>,

    /// The password, with PLAIN and SCRAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<PasswordRef>,

    /// With OAUTHBEARER: where a token is asked for, and who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthSpec>,

    /// With AWS_MSK_IAM: who signs, and for which region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsSpec>,

    /// With GSSAPI: whom one logs in at. Who logs in is the operator, by the keytab that it is
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kerberos: Option<KerberosSpec>,
}

/// How one logs in, as Kafka's `sasl.mechanism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    /// User and password, sent as they are.
    #[serde(rename = "PLAIN")]
    Plain,
    /// User and password, of which a proof is sent.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with the longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token that an OAuth server gave out.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    /// A request signed with an AWS access key, by which Amazon MSK finds the IAM identity. On the
    /// wire it is OAUTHBEARER.
    #[serde(rename = "AWS_MSK_IAM")]
    AwsMskIam,
    /// A Kerberos ticket, which the operator gets by a keytab of its own: for the namespaces that
    /// its `--ambient-identity-namespaces` names, and in builds with the feature `gssapi`.
    #[serde(rename = "GSSAPI")]
    Gssapi,
}

/// The Secret that has a user name.
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

/// The Secret that has a password.
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

/// The Secret that has an OAuth client's secret.
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

/// Tokens by OAuth's client credentials grant.
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

    /// Scope that is asked for; several are separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub scope: Option<String>,

    /// SASL extensions that go with the token, such as Confluent Cloud's logicalCluster and
    /// identityPoolId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "extensions")]
    pub extensions: Option<BTreeMap<String, String>>,

    /// Authorities that may have signed the OAuth server's certificate. Absent: those that the
    /// operator's system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub trusted_certificates: Option<Vec<CertificateSource>>,
}

/// An identity of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsSpec {
    /// Region of the Kafka cluster.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = [
        rule("self.matches('^[a-z]+(-[a-z]+)+-[0-9]{1,2}$')", "write a region of AWS, such as eu-central-1")]))]
    pub region: String,

    /// The access key that signs. Absent: the role of the operator's own Pod (EKS Pod Identity or
    /// IRSA), which may be used only in the namespaces that the operator's
    /// --ambient-identity-namespaces names, by default its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<AwsCredentialsRef>,
}

/// Kerberos.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KerberosSpec {
    /// First part of the brokers' principals, as Kafka's sasl.kerberos.service.name: kafka in
    /// kafka/broker.example.com@EXAMPLE.COM.
    #[serde(default = "kafka")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [
        rule("self.matches('^[a-zA-Z0-9._-]+$')", "write the first part of the brokers' principals, such as kafka")]))]
    pub service_name: String,
}

/// The Secret that has an access key of AWS.
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

    /// Key of the session token, which temporary credentials have. Whoever renews them writes the
    /// Secret anew.
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

/// Names and values as RFC 7628 has them, less what is not printable. `auth` is the token's own.
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
