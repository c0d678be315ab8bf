import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.requests.RequestContext;
import org.apache.kafka.common.security.auth.AuthenticationContext;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.KafkaPrincipalBuilder;
import org.apache.kafka.common.security.auth.KafkaPrincipalSerde;
import org.apache.kafka.common.security.auth.SaslAuthenticationContext;
import org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder;
import org.apache.kafka.common.security.ssl.SslPrincipalMapper;
import org.apache.kafka.metadata.authorizer.StandardAuthorizer;
import org.apache.kafka.server.authorizer.Action;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.server.authorizer.AuthorizationResult;

/**
 * Kafka's authorizer, except that a connection loses all rights when its first token expires, even
 * after a renewal. Some authorizers that ask an OAuth server behave like this.
 */
public final class EndingTokens extends StandardAuthorizer {
    private final Map<String, Long> ends = new ConcurrentHashMap<>();

    @Override
    public List<AuthorizationResult> authorize(AuthorizableRequestContext context, List<Action> actions) {
        if (context.principal() instanceof Bearer bearer && context instanceof RequestContext request
                && Instant.now().toEpochMilli() >= ends.computeIfAbsent(request.connectionId, connection -> bearer.ends)) {
            System.err.println("denied: the first token of " + request.connectionId + " has ended");
            return Collections.nCopies(actions.size(), AuthorizationResult.DENIED);
        }
        return super.authorize(context, actions);
    }

    /** A client with a token that expires. */
    private static final class Bearer extends KafkaPrincipal {
        private final long ends;

        Bearer(String name, long ends) {
            super(KafkaPrincipal.USER_TYPE, name);
            this.ends = ends;
        }
    }

    /** Passes the expiry of a connection's token to the authorizer. */
    public static final class Principals implements KafkaPrincipalBuilder, KafkaPrincipalSerde {
        private final DefaultKafkaPrincipalBuilder builder = new DefaultKafkaPrincipalBuilder(null, SslPrincipalMapper.fromRules("DEFAULT"));

        @Override
        public KafkaPrincipal build(AuthenticationContext context) {
            var principal = builder.build(context);
            if (context instanceof SaslAuthenticationContext sasl && sasl.server().getNegotiatedProperty("CREDENTIAL.LIFETIME.MS") instanceof Long ends) {
                return new Bearer(principal.getName(), ends);
            }
            return principal;
        }

        @Override
        public byte[] serialize(KafkaPrincipal principal) {
            return builder.serialize(principal);
        }

        @Override
        public KafkaPrincipal deserialize(byte[] bytes) {
            return builder.deserialize(bytes);
        }
    }
}
