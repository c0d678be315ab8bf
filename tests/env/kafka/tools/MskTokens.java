import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerExtensionsValidatorCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Accepts tokens in the format of Amazon MSK: the base64url of a presigned https URL. The signature
 * is not recomputed; everything else in the token is checked. The client becomes User:lagrange.
 * Refusals are on standard error.
 */
public final class MskTokens implements AuthenticateCallbackHandler {
    private static final DateTimeFormatter DATE = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {}

    @Override
    public void close() {}

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (var callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback login) {
                try {
                    login.token(checked(login.tokenValue()));
                } catch (RuntimeException refusal) {
                    System.err.println("refused a token: " + refusal);
                    login.error("invalid_token", null, null);
                }
            } else if (callback instanceof OAuthBearerExtensionsValidatorCallback extensions) {
                extensions.inputExtensions().map().keySet().forEach(extensions::valid);
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    private static Token checked(String text) {
        want(!text.contains("="), "base64url without padding");
        var url = URI.create(new String(Base64.getUrlDecoder().decode(text), StandardCharsets.UTF_8));
        want("https".equals(url.getScheme()), "https");
        want(url.getHost() != null && url.getHost().matches("kafka\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?"), "the host of a region");
        var query = new HashMap<String, String>();
        for (var pair : url.getRawQuery().split("&")) {
            var parts = pair.split("=", 2);
            query.put(decoded(parts[0]), parts.length == 2 ? decoded(parts[1]) : "");
        }
        var region = url.getHost().split("\\.")[1];
        matches(query, "Action", "kafka-cluster:Connect");
        matches(query, "X-Amz-Algorithm", "AWS4-HMAC-SHA256");
        matches(query, "X-Amz-Credential", "[^/]+/[0-9]{8}/" + region + "/kafka-cluster/aws4_request");
        matches(query, "X-Amz-Date", "[0-9]{8}T[0-9]{6}Z");
        matches(query, "X-Amz-Expires", "[0-9]{1,6}");
        matches(query, "X-Amz-SignedHeaders", "host");
        matches(query, "X-Amz-Signature", "[0-9a-f]{64}");
        matches(query, "User-Agent", ".+");
        want(query.get("X-Amz-Credential").split("/")[1].equals(query.get("X-Amz-Date").substring(0, 8)), "a credential of the day it is signed");
        var signed = DATE.parse(query.get("X-Amz-Date"), Instant::from);
        var expires = signed.plusSeconds(Long.parseLong(query.get("X-Amz-Expires")));
        want(signed.isBefore(Instant.now().plus(Duration.ofMinutes(5))), "X-Amz-Date in the past");
        want(expires.isAfter(Instant.now()), "not expired");
        return new Token(text, Set.of(), expires.toEpochMilli(), "lagrange", signed.toEpochMilli());
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    private static void matches(Map<String, String> query, String name, String pattern) {
        want(query.getOrDefault(name, "").matches(pattern), name + "=" + pattern);
    }

    private static void want(boolean is, String what) {
        if (!is) {
            throw new IllegalArgumentException("wanted " + what);
        }
    }

    record Token(String value, Set<String> scope, long lifetimeMs, String principalName, Long startTimeMs) implements OAuthBearerToken {}
}
