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
import org.apache.kafka.common.config.ConfigResource;

/** What kafka.sh does to secure brokers while they run. */
public final class Tool {
    public static void main(String[] arguments) throws Exception {
        var rest = List.of(arguments).subList(2, arguments.length);
        try (var admin = Admin.create(client(arguments[0]))) {
            switch (arguments[1]) {
                case "password" -> password(admin, rest.get(0), rest.get(1));
                case "keystore" -> keystore(admin, rest.get(0), rest.subList(1, rest.size()));
                default -> throw new IllegalArgumentException(arguments[1]);
            }
        }
    }

    private static Map<String, Object> client(String servers) {
        return new HashMap<>(Map.of("bootstrap.servers", servers, "default.api.timeout.ms", "20000", "request.timeout.ms", "10000"));
    }

    private static void password(Admin admin, String user, String password) throws Exception {
        // In one request a user may be altered only once, whatever the mechanism.
        for (var mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
            var change = new UserScramCredentialUpsertion(user, new ScramCredentialInfo(mechanism, 4096), password);
            admin.alterUserScramCredentials(List.of(change)).all().get();
        }
    }

    /** Has every broker serve another certificate at these listeners. */
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
