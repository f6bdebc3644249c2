import com.eatthepath.pushy.apns.ApnsClient;
import com.eatthepath.pushy.apns.ApnsClientBuilder;
import com.eatthepath.pushy.apns.PushNotificationResponse;
import com.eatthepath.pushy.apns.auth.ApnsSigningKey;
import com.eatthepath.pushy.apns.util.SimpleApnsPayloadBuilder;
import com.eatthepath.pushy.apns.util.SimpleApnsPushNotification;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Sends through pushy as its README shows, and prints what became of it.
 * Arguments: host, port, CA file, key file, team id, key id, topic, times, device tokens.
 */
public class Push {
  public static void main(String[] args) throws Exception {
    String topic = args[6];
    int times = Integer.parseInt(args[7]);
    ApnsClient client = new ApnsClientBuilder()
        .setApnsServer(args[0], Integer.parseInt(args[1]))
        .setTrustedServerCertificateChain(new File(args[2]))
        .setSigningKey(ApnsSigningKey.loadFromPkcs8File(new File(args[3]), args[4], args[5]))
        .build();
    String payload = new SimpleApnsPayloadBuilder().setAlertTitle("Hello").setAlertBody("World").build();
    int sent = 0;
    List<String> failed = new ArrayList<>();
    for (int round = 0; round < times; round++) {
      List<String> devices = new ArrayList<>();
      List<CompletableFuture<PushNotificationResponse<SimpleApnsPushNotification>>> futures = new ArrayList<>();
      for (int i = 8; i < args.length; i++) {
        devices.add(args[i]);
        futures.add(client.sendNotification(new SimpleApnsPushNotification(args[i], topic, payload)));
      }
      for (int i = 0; i < futures.size(); i++) {
        PushNotificationResponse<SimpleApnsPushNotification> response = futures.get(i).get();
        if (response.isAccepted()) {
          sent++;
        } else {
          failed.add(String.format("{\"Device\":\"%s\",\"Reason\":\"%s\",\"Status\":%d,\"Timestamp\":%d}", devices.get(i),
              response.getRejectionReason().orElse(""), response.getStatusCode(),
              response.getTokenInvalidationTimestamp().map(t -> t.toEpochMilli()).orElse(0L)));
        }
      }
    }
    System.out.println("{\"Sent\":" + sent + ",\"Failed\":[" + String.join(",", failed) + "]}");
    System.exit(0); // closing in order takes two seconds
  }
}
