// The load generator of the chat benchmarks: one thread, epoll, so that one core of it drives a server on the other.
//
//   generator --dialect palaver|relay|socketio --port N --connections N --rooms N --mode MODE [options]
//
//   closed    --publishers N --in-flight N --seconds S      a message is done when every member of its room has it
//   open      --publishers N --rate R --seconds S           sent on schedule; latency counts from the scheduled time
//   durable   --in-flight N --seconds S                     every connection sends; done when it is acknowledged
//   connect                                                 until all have joined; nothing is sent
//   idle                                                    as connect, then wait for a line on stdin
//
// With --frozen N the last N connections read nothing any more once all have joined; with --fill N so many messages of
// nearly 4,000 characters are sent before the warm-up, each when the one before has arrived, so that the kernel's buffers
// of those that are frozen are full when it is measured.
//
// With --server-pid, the CPU time of that process is measured over exactly the measured span, all its threads together.
// Guests are called --name and a number; --cid 1 gives each send of Palaver's dialect a `cid`, as its clients do.
//
// Prints one JSON object. Refuses to do: any address but 127.0.0.1; running without an end.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using std::string;
using std::string_view;

static uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1000000000ull + t.tv_nsec;
}

struct Options {
  string dialect = "palaver", mode = "closed", name = "g";
  int port = 0, connections = 1, rooms = 1, publishers = 1, in_flight = 1, connecting = 64, cid = 0, server_pid = 0,
      frozen = 0, fill = 0;
  double rate = 0, seconds = 5, warmup = 1;
} opt;

// ---- a histogram of microseconds ----
struct Histogram {
  std::vector<uint32_t> counts = std::vector<uint32_t>(4000000);
  uint64_t total = 0;
  void add(uint64_t ns) {
    uint64_t us = std::min<uint64_t>(ns / 1000, counts.size() - 1);
    counts[us]++;
    total++;
  }
  double ms(double quantile) const {
    uint64_t want = uint64_t(quantile * double(total)), seen = 0;
    for (size_t us = 0; us < counts.size(); us++)
      if ((seen += counts[us]) > want) return double(us) / 1000.0;
    return -1;
  }
} latency;

enum class Step { Connecting, Upgrading, Greeting, Authenticating, Joining, Ready };

struct Connection {
  int fd = -1, room = 0, index = 0;
  Step step = Step::Connecting;
  string in, out;
  bool want_write = false;
};

static std::vector<Connection> connections;
static std::vector<int> room_size;
static int epoll_fd, ready_count = 0, started = 0;
static bool measuring = false, stopping = false;
static uint64_t deliveries = 0, acks = 0, errors = 0, closed_by_peer = 0, completed = 0, sent_total = 0, replayed = 0;

// One entry per message sent, by number: when, by whom, and how many members have it.
struct Message {
  uint64_t time = 0;
  uint32_t got = 0;
  int sender = 0;
};
static std::deque<Message> messages;  // messages[number - first_message]
static uint64_t first_message = 0;

static void fail(const char* what) {
  fprintf(stderr, "generator: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void update_events(Connection& c) {
  bool want = !c.out.empty() || c.step == Step::Connecting;
  if (want == c.want_write) return;
  c.want_write = want;
  epoll_event e{};
  e.events = EPOLLIN | (want ? uint32_t(EPOLLOUT) : 0u);
  e.data.u32 = uint32_t(c.index);
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c.fd, &e);
}

static void flush(Connection& c) {
  while (!c.out.empty()) {
    ssize_t n = send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL);
    if (n <= 0) break;
    c.out.erase(0, size_t(n));
  }
  update_events(c);
}

static void frame_into(string& out, string_view text, uint8_t opcode = 1) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  out.push_back(char(0x80 | opcode));
  if (text.size() < 126) {
    out.push_back(char(0x80 | text.size()));
  } else {
    out.push_back(char(0x80 | 126));
    out.push_back(char(text.size() >> 8));
    out.push_back(char(text.size() & 255));
  }
  out.append(reinterpret_cast<const char*>(mask), 4);
  for (size_t i = 0; i < text.size(); i++) out.push_back(char(text[i] ^ mask[i & 3]));
}

static void say(Connection& c, string_view text) {
  frame_into(c.out, text);
  flush(c);
}

static void send_message(Connection& c, uint64_t time, size_t padding = 0) {
  uint64_t number = first_message + messages.size();
  messages.push_back({time, 0, c.index});
  sent_total++;
  char text[96], frame[320], cid[40] = "";
  // 120 bytes of JSON in all, as a chat line of ordinary length.
  snprintf(text, sizeof text, "@%llu@ the quick brown fox jumps over", (unsigned long long)number);
  if (opt.cid) snprintf(cid, sizeof cid, R"("cid":"c-%llu",)", (unsigned long long)number);
  if (opt.dialect == "palaver")
    snprintf(frame, sizeof frame, R"({"type":"send","id":"%llu",%s"room":"r%d","text":"%s"})",
             (unsigned long long)number, cid, c.room, text);
  else if (opt.dialect == "relay")
    snprintf(frame, sizeof frame, R"({"type":"send","id":"%llu","room":"r%d","text":"%s"})", (unsigned long long)number,
             c.room, text);
  else
    snprintf(frame, sizeof frame, R"(42["message",{"id":"%llu","room":"r%d","text":"%s"}])", (unsigned long long)number,
             c.room, text);
  string whole = frame;
  if (padding) whole.insert(whole.rfind(" jumps over"), padding, 'x');
  frame_into(c.out, whole);
}

static void become_ready(Connection& c) {
  c.step = Step::Ready;
  ready_count++;
}

static void forget_done() {
  while (!messages.empty() && messages.front().got == UINT32_MAX) {
    messages.pop_front();
    first_message++;
  }
}

static void done(Message& m, uint64_t when) {
  int sender = m.sender;
  m.got = UINT32_MAX;
  completed++;
  if (!stopping && opt.mode != "open") {
    send_message(connections[size_t(sender)], when);
    flush(connections[size_t(sender)]);
  }
}

static uint64_t number_after(string_view text, string_view key, bool& found) {
  size_t at = text.find(key);
  found = at != string_view::npos;
  return found ? strtoull(text.data() + at + key.size(), nullptr, 10) : 0;
}

static void delivered(string_view text, uint64_t when) {
  const void* at = memchr(text.data(), '@', text.size());  // nothing else in the frames has one
  if (at == nullptr) return;
  uint64_t number = 0;
  for (const char* digit = static_cast<const char*>(at) + 1; *digit >= '0' && *digit <= '9'; digit++)
    number = number * 10 + uint64_t(*digit - '0');
  if (number < first_message || number - first_message >= messages.size()) return;
  Message& m = messages[number - first_message];
  if (m.got == UINT32_MAX) return;
  if (measuring) {
    deliveries++;
    if (opt.mode != "durable") latency.add(when > m.time ? when - m.time : 0);
  }
  if (opt.mode == "durable") return;
  int room = connections[size_t(m.sender)].room;
  if (++m.got == uint32_t(room_size[size_t(room)])) done(m, when);
}

static void acknowledged(string_view text, uint64_t when) {
  if (opt.mode != "durable") return;
  bool found;
  uint64_t number = number_after(text, "\"re\":\"", found);
  if (!found || number < first_message || number - first_message >= messages.size()) return;
  Message& m = messages[number - first_message];
  if (m.got == UINT32_MAX) return;
  if (measuring) {
    acks++;
    latency.add(when - m.time);
  }
  done(m, when);
}

static bool starts(string_view text, string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

static void on_palaver(Connection& c, string_view text, uint64_t when) {
  char frame[160];
  if (starts(text, R"({"type":"message")")) return delivered(text, when);
  if (starts(text, R"({"type":"ack")")) {
    if (c.step == Step::Ready) return acknowledged(text, when);
    if (c.step == Step::Authenticating) {
      snprintf(frame, sizeof frame, R"({"type":"join","id":"j","room":"r%d"})", c.room);
      c.step = Step::Joining;
      return say(c, frame);
    }
    if (c.step == Step::Joining) {
      size_t at = 0;
      while ((at = text.find(R"({"type":"message")", at)) != string_view::npos) replayed++, at++;
      return become_ready(c);
    }
  }
  if (starts(text, R"({"type":"hello")")) {
    snprintf(frame, sizeof frame, R"({"type":"auth","id":"a","name":"%s%d"})", opt.name.c_str(), c.index);
    c.step = Step::Authenticating;
    return say(c, frame);
  }
  if (starts(text, R"({"type":"ping")")) return say(c, R"({"type":"pong"})");
  if (starts(text, R"({"type":"error")")) {
    if (errors++ < 3) fprintf(stderr, "generator: %.*s\n", int(text.size()), text.data());
  }
}

static void on_relay(Connection& c, string_view text, uint64_t when) {
  if (c.step == Step::Greeting) return become_ready(c);  // the server says once that the connection is in its room
  delivered(text, when);
}

static void on_socketio(Connection& c, string_view text, uint64_t when) {
  char frame[64];
  if (starts(text, "42[\"message\"")) return delivered(text, when);
  if (starts(text, "0")) return say(c, "40");
  if (starts(text, "40")) {
    snprintf(frame, sizeof frame, R"(42["join","r%d"])", c.room);
    return say(c, frame);
  }
  if (starts(text, "42[\"joined\"")) return become_ready(c);
  if (text == "2") return say(c, "3");
}

static void on_text(Connection& c, string_view text, uint64_t when) {
  if (opt.dialect == "palaver") return on_palaver(c, text, when);
  if (opt.dialect == "relay") return on_relay(c, text, when);
  on_socketio(c, text, when);
}

// Consumes whole frames from data, returns how many bytes were used.
static size_t on_frames(Connection& c, string_view data, uint64_t when) {
  size_t used = 0;
  while (data.size() - used >= 2) {
    const uint8_t* p = reinterpret_cast<const uint8_t*>(data.data()) + used;
    size_t left = data.size() - used, header = 2, length = p[1] & 127;
    if (length == 126) {
      if (left < 4) break;
      header = 4;
      length = size_t(p[2]) << 8 | p[3];
    } else if (length == 127) {
      if (left < 10) break;
      header = 10;
      length = 0;
      for (int i = 2; i < 10; i++) length = length << 8 | p[i];
    }
    if (left < header + length) break;
    string_view payload = data.substr(used + header, length);
    int opcode = p[0] & 15;
    if (opcode == 1) on_text(c, payload, when);
    if (opcode == 9) frame_into(c.out, payload, 10), flush(c);
    if (opcode == 8) closed_by_peer++;
    used += header + length;
  }
  return used;
}

static void open_connection(int index) {
  Connection& c = connections[size_t(index)];
  c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c.fd < 0) fail("socket");
  int one = 1;
  setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // Segments as of a real network: the kernel makes a socket's send buffer as large as some segments, and those of the
  // loopback are so large that it would take megabytes for a member that reads nothing.
  int segment = 1448;
  if (index >= opt.connections - opt.frozen) setsockopt(c.fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(uint16_t(opt.port));
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(c.fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 && errno != EINPROGRESS) fail("connect");
  epoll_event e{};
  e.events = EPOLLIN | EPOLLOUT;
  e.data.u32 = uint32_t(index);
  c.want_write = true;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c.fd, &e) != 0) fail("epoll_ctl");
}

static void upgrade(Connection& c) {
  char request[400];
  string path = opt.dialect == "palaver" ? "/ws" : opt.dialect == "relay" ? "/?room=r" + std::to_string(c.room)
                                                                          : "/socket.io/?EIO=4&transport=websocket";
  snprintf(request, sizeof request,
           "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
           path.c_str(), opt.port);
  c.step = Step::Upgrading;
  c.out = request;
  flush(c);
}

static void on_bytes(Connection& c, string_view data, uint64_t when) {
  if (c.step == Step::Upgrading) {
    c.in.append(data);
    size_t end = c.in.find("\r\n\r\n");
    if (end == string::npos) return;
    if (!starts(c.in, "HTTP/1.1 101")) {
      fprintf(stderr, "generator: upgrade refused: %s\n", c.in.substr(0, 80).c_str());
      exit(1);
    }
    string rest = c.in.substr(end + 4);
    c.in.clear();
    c.step = Step::Greeting;
    if (!rest.empty()) on_bytes(c, rest, when);
    return;
  }
  if (!c.in.empty()) {
    c.in.append(data);
    size_t used = on_frames(c, c.in, when);
    c.in.erase(0, used);
  } else {
    size_t used = on_frames(c, data, when);
    if (used < data.size()) c.in.assign(data.substr(used));
  }
}

static void turn(int timeout_ms) {
  static epoll_event events[1024];
  static std::vector<char> buffer(1 << 20);
  int n = epoll_wait(epoll_fd, events, 1024, timeout_ms);
  for (int i = 0; i < n; i++) {
    Connection& c = connections[events[i].data.u32];
    if (c.fd < 0) continue;
    if (events[i].events & EPOLLOUT) {
      if (c.step == Step::Connecting) upgrade(c);
      else flush(c);
    }
    if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
      ssize_t got = recv(c.fd, buffer.data(), buffer.size(), 0);
      if (got > 0) {
        on_bytes(c, string_view(buffer.data(), size_t(got)), now_ns());
      } else if (got == 0 || errno != EAGAIN) {
        close(c.fd);
        c.fd = -1;
        closed_by_peer++;
      }
    }
  }
  forget_done();
}

static void connect_all(uint64_t deadline) {
  while (ready_count < opt.connections) {
    while (started < opt.connections && started - ready_count < opt.connecting) open_connection(started++);
    turn(100);
    if (closed_by_peer || now_ns() > deadline) {
      fprintf(stderr, "generator: %d of %d joined, %llu closed by the server\n", ready_count, opt.connections,
              (unsigned long long)closed_by_peer);
      exit(1);
    }
  }
}

static double cpu_seconds() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return double(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + double(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// The server's CPU time; 0 where no process was named.
static double server_seconds() {
  clockid_t clock;
  timespec t{};
  if (opt.server_pid == 0) return 0;
  if (clock_getcpuclockid(opt.server_pid, &clock) != 0 || clock_gettime(clock, &t) != 0) fail("--server-pid");
  return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

// From here on these connections read nothing. What the kernel takes for them all the same is kept small.
static void freeze() {
  int small = 4096;
  for (int i = opt.connections - opt.frozen; i < opt.connections; i++) {
    setsockopt(connections[size_t(i)].fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_DEL, connections[size_t(i)].fd, nullptr) != 0) fail("epoll_ctl");
    room_size[size_t(i % opt.rooms)]--;
  }
}

static void fill() {
  uint64_t deadline = now_ns() + 60ull * 1000000000ull;
  for (int i = 0; i < opt.fill; i++) {
    Connection& c = connections[size_t(i % opt.publishers)];
    uint64_t number = first_message + messages.size();
    send_message(c, now_ns(), 3900);
    flush(c);
    while (number >= first_message && messages[number - first_message].got != UINT32_MAX && !closed_by_peer && !errors) {
      turn(10);
      if (now_ns() > deadline) {
        fprintf(stderr, "generator: message %d of --fill has not arrived\n", i);
        exit(1);
      }
    }
  }
}

static void start_closed_loop() {
  int senders = opt.mode == "durable" ? opt.connections : opt.publishers;
  int total = opt.mode == "durable" ? opt.in_flight * senders : opt.in_flight;
  for (int i = 0; i < total; i++) {
    // Publishers are spread over the rooms; connection i is in room i % rooms.
    Connection& c = connections[size_t(i % senders)];
    send_message(c, now_ns());
  }
  for (int i = 0; i < senders; i++) flush(connections[size_t(i)]);
}

static void run_until(uint64_t end) {
  static uint64_t next = 0;
  if (opt.mode != "open") {
    while (now_ns() < end && !closed_by_peer) turn(10);
    return;
  }
  uint64_t gap = uint64_t(1e9 / opt.rate);
  if (next == 0) next = now_ns();
  while (now_ns() < end && !closed_by_peer) {
    while (next <= now_ns()) {
      Connection& c = connections[size_t(sent_total % uint64_t(opt.publishers))];
      send_message(c, next);
      flush(c);
      next += gap;
    }
    turn(0);
  }
}

int main(int argc, char** argv) {
  std::map<string, string> args;
  for (int i = 1; i + 1 < argc; i += 2) args[argv[i] + 2] = argv[i + 1];
  auto number = [&](const char* key, auto& into) {
    if (args.count(key)) into = std::remove_reference_t<decltype(into)>(atof(args[key].c_str()));
  };
  if (args.count("dialect")) opt.dialect = args["dialect"];
  if (args.count("mode")) opt.mode = args["mode"];
  if (args.count("name")) opt.name = args["name"].substr(0, 16);
  number("port", opt.port), number("connections", opt.connections), number("rooms", opt.rooms);
  number("publishers", opt.publishers), number("in-flight", opt.in_flight), number("rate", opt.rate);
  number("seconds", opt.seconds), number("warmup", opt.warmup), number("connecting", opt.connecting);
  number("cid", opt.cid), number("server-pid", opt.server_pid), number("frozen", opt.frozen), number("fill", opt.fill);
  opt.seconds = std::min(opt.seconds, 120.0);

  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  epoll_fd = epoll_create1(0);
  connections.resize(size_t(opt.connections));
  room_size.resize(size_t(opt.rooms));
  for (int i = 0; i < opt.connections; i++) {
    connections[size_t(i)].index = i;
    connections[size_t(i)].room = i % opt.rooms;
    room_size[size_t(i % opt.rooms)]++;
  }
  uint64_t begin = now_ns();
  double server = server_seconds();
  connect_all(begin + 120ull * 1000000000ull);
  double connect_seconds = double(now_ns() - begin) / 1e9;

  double wall = connect_seconds, cpu = cpu_seconds();
  server = server_seconds() - server;
  if (opt.mode == "idle") {
    printf("ready\n");
    fflush(stdout);
    uint64_t limit = now_ns() + 120ull * 1000000000ull;
    int flags = fcntl(0, F_GETFL);
    fcntl(0, F_SETFL, flags | O_NONBLOCK);
    char byte;
    while (read(0, &byte, 1) < 0 && now_ns() < limit) turn(50);
  } else if (opt.mode != "connect") {
    freeze();
    fill();
    if (opt.mode != "open") start_closed_loop();
    run_until(now_ns() + uint64_t(opt.warmup * 1e9));
    measuring = true;
    uint64_t completed_before = completed, t0 = now_ns();
    double cpu0 = cpu_seconds(), server0 = server_seconds();
    run_until(t0 + uint64_t(opt.seconds * 1e9));
    measuring = false;
    wall = double(now_ns() - t0) / 1e9;
    cpu = cpu_seconds() - cpu0;
    server = server_seconds() - server0;
    completed -= completed_before;
    stopping = true;
  }
  printf("{\"connected\":%d,\"connect_seconds\":%.4f,\"connects_per_second\":%.0f,\"replayed\":%llu,"
         "\"seconds\":%.3f,\"deliveries\":%llu,\"deliveries_per_second\":%.0f,\"messages_completed\":%llu,"
         "\"acks_per_second\":%.0f,\"errors\":%llu,\"closed\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
         "\"generator_seconds\":%.3f,\"server_seconds\":%.3f}\n",
         ready_count, connect_seconds, ready_count / connect_seconds, (unsigned long long)replayed, wall,
         (unsigned long long)deliveries, double(deliveries) / wall, (unsigned long long)completed, double(acks) / wall,
         (unsigned long long)errors, (unsigned long long)closed_by_peer, latency.total ? latency.ms(0.5) : 0.0,
         latency.total ? latency.ms(0.99) : 0.0, cpu, server);
  return closed_by_peer ? 1 : 0;
}
