// driver HOST:PORT FRAMEWORK_INFO implicit|explicit [CREDENTIAL]: libmesos 1.11.0's own v0 scheduler driver, worked by
// lines.
//
// A line of standard input is a function of the driver and its arguments: `killTask TASK_ID`. Messages are
// protobuf in hex, lists have commas between their elements, and `-` stands for what is empty. Once the function has
// returned, `said killTask STATUS` comes out, STATUS being the number of the driver's status. Every callback
// comes out as `called statusUpdate TASK_STATUS`. The end of the input ends the program on the spot, as a crash would.

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <new>
#include <sstream>

#include "mesos.h"

// The object is a Python 2 module. Its functions of Python are looked up when called, which never happens;
// its data must be there when it is loaded.
extern "C" {
char _Py_NoneStruct[1024];
void* PyExc_Exception = nullptr;
void* PyExc_TypeError = nullptr;
}

// The size of what was first allocated since it was 0.
thread_local std::size_t allocated = 1;

void* operator new(std::size_t size) {
  if (allocated == 0) allocated = size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using Words = std::vector<std::string>;

[[noreturn]] void fail(const std::string& why) {
  std::cerr << "driver: " << why << std::endl;
  _exit(1);
}

// ---- words to values and back ----

std::string to_hex(const std::string& bytes) {
  static const char* digits = "0123456789abcdef";
  std::string hex;
  for (unsigned char byte : bytes) {
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return hex.empty() ? "-" : hex;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  if (hex == "-") return bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
  }
  return bytes;
}

Words split(const std::string& list) {
  Words words;
  std::istringstream stream(list == "-" ? "" : list);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

template <typename M>
std::string encoded(const M& message) {
  return to_hex(reinterpret_cast<const google::protobuf::MessageLite&>(message).SerializePartialAsString());
}

// Zeroed room; never given back, as this program does not live long.
void* room(std::size_t bytes = 64 * 1024) { return std::calloc(1, bytes); }

// The size of a message's object, from how much the library allocates for one.
template <typename M>
std::size_t size_of() {
  static const std::size_t size = [] {
    const M* message = new (room()) M;
    allocated = 0;
    message->New(nullptr);
    return allocated;
  }();
  return size;
}

template <typename M>
M& decode(void* at, const std::string& hex) {
  const std::string bytes = from_hex(hex);
  M* message = new (at) M;
  auto* lite = reinterpret_cast<google::protobuf::MessageLite*>(message);
  if (!lite->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) fail("not such a message: " + hex);
  return *message;
}

template <typename M>
M& one(const std::string& hex) {
  return decode<M>(room(), hex);
}

// std::vector as libstdc++ lays it out, for elements whose size the compiler does not know.
struct Vector {
  char *begin, *end, *capacity;
};

template <typename M>
const std::vector<M>& many(const std::string& list) {
  const Words words = split(list);
  Vector* vector = static_cast<Vector*>(room(sizeof(Vector)));
  vector->begin = vector->end = static_cast<char*>(room(words.size() * size_of<M>() + 1));
  for (const std::string& word : words) {
    decode<M>(vector->end, word);
    vector->end += size_of<M>();
  }
  vector->capacity = vector->end;
  return reinterpret_cast<const std::vector<M>&>(*vector);
}

Words texts(const std::string& list) {
  Words words = split(list);
  for (std::string& word : words) word = from_hex(word);
  return words;
}

// ---- what comes out ----

void print(const Words& words) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  for (std::size_t at = 0; at < words.size(); ++at) std::cout << (at == 0 ? "" : " ") << words[at];
  std::cout << std::endl;
}

class Printer : public mesos::Scheduler {
  using Driver = mesos::SchedulerDriver;

  void registered(Driver*, const mesos::FrameworkID& id, const mesos::MasterInfo& master) override {
    print({"called", "registered", encoded(id), encoded(master)});
  }
  void reregistered(Driver*, const mesos::MasterInfo& master) override {
    print({"called", "reregistered", encoded(master)});
  }
  void disconnected(Driver*) override { print({"called", "disconnected"}); }
  void resourceOffers(Driver*, const std::vector<mesos::Offer>& offers) override {
    const Vector& vector = reinterpret_cast<const Vector&>(offers);
    for (const char* at = vector.begin; at != vector.end; at += size_of<mesos::Offer>()) {
      print({"called", "resourceOffers", encoded(*reinterpret_cast<const mesos::Offer*>(at))});
    }
  }
  void offerRescinded(Driver*, const mesos::OfferID& id) override {
    print({"called", "offerRescinded", encoded(id)});
  }
  void statusUpdate(Driver*, const mesos::TaskStatus& status) override {
    print({"called", "statusUpdate", encoded(status)});
  }
  void frameworkMessage(
      Driver*, const mesos::ExecutorID& executor, const mesos::SlaveID& agent, const std::string& data) override {
    print({"called", "frameworkMessage", encoded(executor), encoded(agent), to_hex(data)});
  }
  void slaveLost(Driver*, const mesos::SlaveID& agent) override { print({"called", "slaveLost", encoded(agent)}); }
  void executorLost(
      Driver*, const mesos::ExecutorID& executor, const mesos::SlaveID& agent, int status) override {
    print({"called", "executorLost", encoded(executor), encoded(agent), std::to_string(status)});
  }
  void error(Driver*, const std::string& message) override { print({"called", "error", to_hex(message)}); }
};

// ---- what goes in ----

struct Function {
  std::size_t arguments;
  std::function<mesos::Status(mesos::MesosSchedulerDriver&, const Words&)> call;
};

const std::map<std::string, Function>& functions() {
  using namespace mesos;
  using D = MesosSchedulerDriver;
  using W = Words;
  static const std::map<std::string, Function> all = {
      {"start", {0, [](D& driver, const W&) { return driver.start(); }}},
      {"stop", {1, [](D& driver, const W& of) { return driver.stop(of[0] == "failover"); }}},
      {"abort", {0, [](D& driver, const W&) { return driver.abort(); }}},
      {"join", {0, [](D& driver, const W&) { return driver.join(); }}},
      {"requestResources", {1, [](D& driver, const W& of) { return driver.requestResources(many<Request>(of[0])); }}},
      {"launchTasks", {3, [](D& driver, const W& of) {
         return driver.launchTasks(many<OfferID>(of[0]), many<TaskInfo>(of[1]), one<Filters>(of[2]));
       }}},
      {"acceptOffers", {3, [](D& driver, const W& of) {
         return driver.acceptOffers(many<OfferID>(of[0]), many<Offer_Operation>(of[1]), one<Filters>(of[2]));
       }}},
      {"declineOffer", {2, [](D& driver, const W& of) {
         return driver.declineOffer(one<OfferID>(of[0]), one<Filters>(of[1]));
       }}},
      {"killTask", {1, [](D& driver, const W& of) { return driver.killTask(one<TaskID>(of[0])); }}},
      {"reviveOffers", {1, [](D& driver, const W& of) {
         return of[0] == "-" ? driver.reviveOffers() : driver.reviveOffers(texts(of[0]));
       }}},
      {"suppressOffers", {1, [](D& driver, const W& of) {
         return of[0] == "-" ? driver.suppressOffers() : driver.suppressOffers(texts(of[0]));
       }}},
      {"acknowledgeStatusUpdate", {1, [](D& driver, const W& of) {
         return driver.acknowledgeStatusUpdate(one<TaskStatus>(of[0]));
       }}},
      {"sendFrameworkMessage", {3, [](D& driver, const W& of) {
         return driver.sendFrameworkMessage(one<ExecutorID>(of[0]), one<SlaveID>(of[1]), from_hex(of[2]));
       }}},
      {"reconcileTasks", {1, [](D& driver, const W& of) { return driver.reconcileTasks(many<TaskStatus>(of[0])); }}},
      {"updateFramework", {3, [](D& driver, const W& of) {
         return driver.updateFramework(
             one<FrameworkInfo>(of[0]), texts(of[1]), std::move(one<mesos::scheduler::OfferConstraints>(of[2])));
       }}},
  };
  return all;
}

mesos::MesosSchedulerDriver* make(int argc, char** argv) {
  const auto& framework = one<mesos::FrameworkInfo>(argv[2]);
  const std::string master = argv[1];
  const bool implicit = std::string(argv[3]) == "implicit";
  auto* scheduler = new Printer;
  if (argc == 4) return new (room()) mesos::MesosSchedulerDriver(scheduler, framework, master, implicit);
  return new (room())
      mesos::MesosSchedulerDriver(scheduler, framework, master, implicit, one<mesos::Credential>(argv[4]));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) fail("HOST:PORT FRAMEWORK_INFO implicit|explicit [CREDENTIAL] are expected");
  mesos::MesosSchedulerDriver* driver = make(argc, argv);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream stream(line);
    std::string name;
    stream >> name;
    Words arguments;
    for (std::string word; stream >> word;) arguments.push_back(word);
    const auto found = functions().find(name);
    if (found == functions().end() || found->second.arguments != arguments.size()) fail("not understood: " + line);
    print({"said", name, std::to_string(found->second.call(*driver, arguments))});
  }
  _exit(0);
}
