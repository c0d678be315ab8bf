import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import javax.security.auth.callback.Callback;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.errors.GroupAuthorizationException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerTokenCallback;

/**
 * Logs in as lagrange with every mechanism, with Kafka's own client, and reports whether it may
 * describe a group.
 */
final class Logins {
    private static final String MODULES = "org.apache.kafka.common.security.";
    private static String token;

    private Logins() {}

    /** The doors (listeners) are NAME=SERVERS. */
    static boolean all(String tls, String password, String bearer, String group, List<String> doors) {
        token = bearer;
        var fine = true;
        for (var door : doors) {
            var name = door.split("=")[0];
            var mechanisms = name.equals("ssl") ? List.of("") : List.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER");
            for (var mechanism : mechanisms) {
                var config = new HashMap<String, Object>(Tool.client(door.split("=")[1]));
                config.put("security.protocol", name.toUpperCase().replace('-', '_'));
                config.put("default.api.timeout.ms", "10000");
                if (!name.equals("sasl-plaintext")) {
                    config.putAll(Map.of("ssl.truststore.type", "PEM", "ssl.truststore.location", tls + "/ca.crt"));
                }
                if (name.equals("ssl")) {
                    config.putAll(Map.of("ssl.keystore.type", "PEM", "ssl.keystore.location", tls + "/user.pem"));
                } else {
                    config.putAll(Map.of("sasl.mechanism", mechanism, "sasl.jaas.config", jaas(mechanism, password)));
                }
                if (mechanism.equals("OAUTHBEARER")) {
                    config.put("sasl.login.callback.handler.class", Bearer.class.getName());
                }
                var answer = look(config, group);
                fine &= answer.startsWith("in");
                System.out.println((name + " " + mechanism).strip() + ": " + answer);
            }
        }
        return fine;
    }

    private static String jaas(String mechanism, String password) {
        var credentials = " required username=\"lagrange\" password=\"" + password + "\";";
        return switch (mechanism) {
            case "PLAIN" -> MODULES + "plain.PlainLoginModule" + credentials;
            case "OAUTHBEARER" -> MODULES + "oauthbearer.OAuthBearerLoginModule required;";
            default -> MODULES + "scram.ScramLoginModule" + credentials;
        };
    }

    private static String look(Map<String, Object> config, String group) {
        try (var client = Admin.create(config)) {
            client.describeConsumerGroups(List.of(group)).all().get();
            return "in, the group is visible";
        } catch (ExecutionException answer) {
            return answer.getCause() instanceof GroupAuthorizationException ? "in, the group is hidden"
                : answer.getCause() instanceof GroupIdNotFoundException ? "in, the group is visible"
                : answer.getCause().toString();
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    /** Returns the one token. */
    public static final class Bearer implements AuthenticateCallbackHandler {
        @Override
        public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {}

        @Override
        public void close() {}

        @Override
        public void handle(Callback[] callbacks) {
            for (var callback : callbacks) {
                if (callback instanceof OAuthBearerTokenCallback wanted) {
                    var now = System.currentTimeMillis();
                    wanted.token(new MskTokens.Token(token, Set.of(), now + 600_000, "lagrange", now));
                }
            }
        }
    }
}
