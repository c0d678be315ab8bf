import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/** Changes that kafka.sh makes to secure brokers while they run. */
public final class Tool {
    public static void main(String[] arguments) throws Exception {
        var rest = List.of(arguments).subList(2, arguments.length);
        try (var admin = Admin.create(client(arguments[0]))) {
            switch (arguments[1]) {
                case "password" -> password(admin, rest.get(0), rest.get(1));
                case "acl" -> acl(admin, rest);
                case "delete-group" -> admin.deleteConsumerGroups(List.of(rest.get(0))).all().get();
                case "logins" -> {
                    if (!Logins.all(rest.get(0), rest.get(1), rest.get(2), rest.get(3), rest.subList(4, rest.size()))) {
                        System.exit(1);
                    }
                }
                case "keystore" -> keystore(admin, rest.get(0), rest.subList(1, rest.size()));
                default -> throw new IllegalArgumentException(arguments[1]);
            }
        }
    }

    static Map<String, Object> client(String servers) {
        return new HashMap<>(Map.of("bootstrap.servers", servers, "default.api.timeout.ms", "20000", "request.timeout.ms", "10000"));
    }

    private static void password(Admin admin, String user, String password) throws Exception {
        // One request may alter a user only once, even for different mechanisms.
        for (var mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
            var change = new UserScramCredentialUpsertion(user, new ScramCredentialInfo(mechanism, 4096), password);
            admin.alterUserScramCredentials(List.of(change)).all().get();
        }
    }

    /** add|remove PRINCIPAL topic|group NAME|PREFIX*|* OPERATION */
    private static void acl(Admin admin, List<String> words) throws Exception {
        var name = words.get(3);
        var prefixed = name.endsWith("*") && name.length() > 1;
        var resource = new ResourcePattern(
            ResourceType.fromString(words.get(2)),
            prefixed ? name.substring(0, name.length() - 1) : name,
            prefixed ? PatternType.PREFIXED : PatternType.LITERAL);
        var operation = AclOperation.fromString(words.get(4));
        var acl = new AclBinding(resource, new AccessControlEntry(words.get(1), "*", operation, AclPermissionType.ALLOW));
        switch (words.get(0)) {
            case "add" -> admin.createAcls(List.of(acl)).all().get();
            case "remove" -> {
                if (admin.deleteAcls(List.of(acl.toFilter())).all().get().isEmpty()) {
                    throw new IllegalArgumentException("there is no " + acl);
                }
            }
            default -> throw new IllegalArgumentException(words.get(0));
        }
    }

    /** Sets another certificate for these listeners on every broker. */
    private static void keystore(Admin admin, String path, List<String> listeners) throws Exception {
        var changes = new ArrayList<AlterConfigOp>();
        for (var listener : listeners) {
            var prefix = "listener.name." + listener + ".ssl.keystore.";
            changes.add(new AlterConfigOp(new ConfigEntry(prefix + "type", "PEM"), AlterConfigOp.OpType.SET));
            changes.add(new AlterConfigOp(new ConfigEntry(prefix + "location", path), AlterConfigOp.OpType.SET));
        }
        for (Node node : admin.describeCluster().nodes().get()) {
            var broker = new ConfigResource(ConfigResource.Type.BROKER, node.idString());
            admin.incrementalAlterConfigs(Map.of(broker, changes)).all().get();
        }
    }
}
