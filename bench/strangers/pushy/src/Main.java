import com.eatthepath.pushy.apns.ApnsClient;
import com.eatthepath.pushy.apns.ApnsClientBuilder;
import com.eatthepath.pushy.apns.DeliveryPriority;
import com.eatthepath.pushy.apns.PushType;
import com.eatthepath.pushy.apns.auth.ApnsSigningKey;
import com.eatthepath.pushy.apns.util.SimpleApnsPushNotification;
import com.sun.management.OperatingSystemMXBean;
import java.io.File;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Arrays;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sends through pushy as its README shows, and prints what it cost. */
public class Main {
  /** The Java compiler in the virtual machine needs more to warm up than the connection. */
  static final int MORE_WARMUP = 100_000;

  static final long MOST_WARMUP_NANOS = 10_000_000_000L;

  static final String settings = System.getenv("AVISO_BENCH_SETTINGS");

  static String text(String key) {
    Matcher m = Pattern.compile("\"" + key + "\":\"([^\"]*)\"").matcher(settings);
    return m.find() ? m.group(1) : "";
  }

  static int number(String key) {
    Matcher m = Pattern.compile("\"" + key + "\":([0-9]+)").matcher(settings);
    return m.find() ? Integer.parseInt(m.group(1)) : 0;
  }

  final ApnsClient client;
  final SimpleApnsPushNotification[] notifications = new SimpleApnsPushNotification[16384];
  final int underWay = number("InFlight") * number("Connections");

  Main() throws Exception {
    client = new ApnsClientBuilder()
        .setApnsServer(text("Host"), number("Port"))
        .setTrustedServerCertificateChain(new File(text("CAFile")))
        .setSigningKey(ApnsSigningKey.loadFromPkcs8File(new File(text("KeyFile")), text("TeamID"), text("KeyID")))
        .setConcurrentConnections(number("Connections"))
        .build();
    String payload = Files.readString(Path.of(text("PayloadFile")));
    for (int i = 0; i < notifications.length; i++) {
      // Its default expiration is a day from now.
      notifications[i] = new SimpleApnsPushNotification(String.format("%064x", i), text("Topic"), payload,
          Instant.now().plusSeconds(86_400), DeliveryPriority.IMMEDIATE, PushType.ALERT, null, UUID.randomUUID());
    }
  }

  int send(int n, long[] times) throws InterruptedException {
    Semaphore free = new Semaphore(underWay);
    AtomicInteger accepted = new AtomicInteger();
    for (int i = 0; i < n; i++) {
      free.acquire();
      int at = i;
      long began = times == null ? 0 : System.nanoTime();
      client.sendNotification(notifications[i % notifications.length]).whenComplete((response, failure) -> {
        if (times != null) {
          times[at] = System.nanoTime() - began;
        }
        if (failure == null && response.isAccepted()) {
          accepted.incrementAndGet();
        } else if (accepted.get() == 0) {
          System.err.println(failure != null ? failure : response.getRejectionReason());
        }
        free.release();
      });
    }
    free.acquire(underWay);
    return accepted.get();
  }

  public static void main(String[] args) throws Exception {
    Main main = new Main();
    int n = number("Notifications");
    boolean latency = settings.contains("\"Latency\":true");
    long warming = System.nanoTime();
    main.send(number("Warmup"), null);
    for (int i = 0; i < MORE_WARMUP && System.nanoTime() - warming < MOST_WARMUP_NANOS; i += 5000) {
      main.send(5000, null);
    }
    long[] times = latency ? new long[n] : null;
    OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    long cpu = system.getProcessCpuTime();
    long began = System.nanoTime();
    int accepted = main.send(n, times);
    double seconds = (System.nanoTime() - began) / 1e9;
    double used = (system.getProcessCpuTime() - cpu) / 1e9;
    StringBuilder report = new StringBuilder("{\"Accepted\":" + accepted + ",\"Seconds\":" + seconds + ",\"CPU\":" + used);
    if (latency) {
      Arrays.sort(times);
      for (String[] q : new String[][] {{"P50", "0.5"}, {"P99", "0.99"}, {"P999", "0.999"}}) {
        int at = (int) Math.ceil(Double.parseDouble(q[1]) * n) - 1;
        report.append(",\"").append(q[0]).append("\":").append(times[at] / 1e9);
      }
    }
    System.out.println(report.append("}"));
    System.exit(0); // closing in order takes two seconds
  }
}
