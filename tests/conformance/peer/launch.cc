// launch OBJECT: an Apache Mesos 1.11.0 master, until it is killed.
//
// OBJECT is the shared object of the Python package mesos.scheduler. A v0 scheduler driver that is told to use
// the master "local" starts a cluster in its process as soon as it is constructed, so one is constructed
// here, and left at that. Flags come from MESOS_* variables, the address from LIBPROCESS_IP and LIBPROCESS_PORT.

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

// The object is a Python 2 module. Its functions of Python are looked up when called, which never happens;
// its data must be there when it is loaded.
extern "C" {
char _Py_NoneStruct[1024];
void* PyExc_Exception = nullptr;
void* PyExc_TypeError = nullptr;
}

namespace {

// Stands for mesos::Scheduler, whose ten callbacks follow its destructor in the table of virtual functions.
class NobodyListens {
 public:
  virtual ~NobodyListens() = default;
  virtual void callback0() { std::abort(); }
  virtual void callback1() { std::abort(); }
  virtual void callback2() { std::abort(); }
  virtual void callback3() { std::abort(); }
  virtual void callback4() { std::abort(); }
  virtual void callback5() { std::abort(); }
  virtual void callback6() { std::abort(); }
  virtual void callback7() { std::abort(); }
  virtual void callback8() { std::abort(); }
  virtual void callback9() { std::abort(); }
};

// Option<std::string> as the object lays it out: 0 for "there is one", and the text.
struct Given {
  int none = 0;
  std::string text;
};

void* object;

// A function of the object by its mangled name.
template <typename Function>
Function* function(const std::string& name) {
  void* address = dlsym(object, name.c_str());
  if (address == nullptr) {
    std::cerr << "launch: " << dlerror() << std::endl;
    std::exit(1);
  }
  return reinterpret_cast<Function*>(address);
}

// Zeroed room for a C++ object of the library whose size is not known here; never freed.
void* room() { return std::calloc(1, 64 * 1024); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || (object = dlopen(argv[1], RTLD_LAZY | RTLD_GLOBAL)) == nullptr) {
    std::cerr << "launch: " << (argc == 2 ? dlerror() : "the shared object is expected as argument") << std::endl;
    return 1;
  }
  const std::string text_type = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";

  // bool process::initialize(delegate, realm of writes, realm of reads), with what mesos-master gives.
  Given delegate{0, "master"}, writes{0, "mesos-master-readwrite"}, reads{0, "mesos-master-readonly"};
  auto* initialize = function<bool(const Given&, const Given&, const Given&)>(
      "_ZN7process10initializeERK6OptionI" + text_type + "ES9_S9_");
  initialize(delegate, writes, reads);

  // FrameworkInfo, parsed off the wire: user (1) and name (2) are required.
  void* framework = room();
  function<void(void*)>("_ZN5mesos13FrameworkInfoC1Ev")(framework);
  const std::string encoded = "\x0a\x01u\x12\x01n";
  auto* parse = function<bool(void*, const void*, int)>("_ZN6google8protobuf11MessageLite14ParseFromArrayEPKvi");
  if (!parse(framework, encoded.data(), static_cast<int>(encoded.size()))) {
    std::cerr << "launch: FrameworkInfo was not understood" << std::endl;
    return 1;
  }

  // MesosSchedulerDriver(Scheduler*, const FrameworkInfo&, const std::string& master)
  auto* construct = function<void(void*, NobodyListens*, const void*, const std::string&)>(
      "_ZN5mesos20MesosSchedulerDriverC1EPNS_9SchedulerERKNS_13FrameworkInfoERK" + text_type);
  const std::string master = "local";
  construct(room(), new NobodyListens, framework, master);
  for (;;) pause();
}
