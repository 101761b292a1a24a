// As much of libmesos 1.11.0 as driver.cc calls, declared so that the compiler gives it the names that the package's
// shared object exports. Sizes are not declared: a message is made in place, in room enough.
#pragma once

#include <string>
#include <vector>

namespace google::protobuf {

// Not virtual here: called by name, past the object's table.
class MessageLite {
 public:
  bool ParseFromArray(const void* data, int size);
  std::string SerializePartialAsString() const;
};

class Arena;

}  // namespace google::protobuf

namespace mesos {

// Only how they are made; every message also is a google::protobuf::MessageLite at its address.
#define MESSAGE(Name)                                \
  class Name {                                       \
   public:                                           \
    Name();                                          \
    Name* New(google::protobuf::Arena* arena) const; \
  }

MESSAGE(Credential);
MESSAGE(ExecutorID);
MESSAGE(Filters);
MESSAGE(FrameworkID);
MESSAGE(FrameworkInfo);
MESSAGE(MasterInfo);
MESSAGE(Offer);
MESSAGE(OfferID);
MESSAGE(Offer_Operation);
MESSAGE(Request);
MESSAGE(SlaveID);
MESSAGE(TaskID);
MESSAGE(TaskInfo);
MESSAGE(TaskStatus);
namespace scheduler {
MESSAGE(OfferConstraints);
}
#undef MESSAGE

enum Status : int {};

class SchedulerDriver;

// What a framework writes; the order of the functions is that of the real table.
class Scheduler {
 public:
  virtual ~Scheduler() = default;
  virtual void registered(SchedulerDriver*, const FrameworkID&, const MasterInfo&) = 0;
  virtual void reregistered(SchedulerDriver*, const MasterInfo&) = 0;
  virtual void disconnected(SchedulerDriver*) = 0;
  virtual void resourceOffers(SchedulerDriver*, const std::vector<Offer>&) = 0;
  virtual void offerRescinded(SchedulerDriver*, const OfferID&) = 0;
  virtual void statusUpdate(SchedulerDriver*, const TaskStatus&) = 0;
  virtual void frameworkMessage(SchedulerDriver*, const ExecutorID&, const SlaveID&, const std::string&) = 0;
  virtual void slaveLost(SchedulerDriver*, const SlaveID&) = 0;
  virtual void executorLost(SchedulerDriver*, const ExecutorID&, const SlaveID&, int) = 0;
  virtual void error(SchedulerDriver*, const std::string&) = 0;
};

class MesosSchedulerDriver {
 public:
  MesosSchedulerDriver(Scheduler*, const FrameworkInfo&, const std::string& master, bool implicit);
  MesosSchedulerDriver(Scheduler*, const FrameworkInfo&, const std::string& master, bool implicit, const Credential&);
  Status start();
  Status stop(bool failover);
  Status abort();
  Status join();
  Status requestResources(const std::vector<Request>&);
  Status launchTasks(const std::vector<OfferID>&, const std::vector<TaskInfo>&, const Filters&);
  Status acceptOffers(const std::vector<OfferID>&, const std::vector<Offer_Operation>&, const Filters&);
  Status declineOffer(const OfferID&, const Filters&);
  Status killTask(const TaskID&);
  Status reviveOffers();
  Status reviveOffers(const std::vector<std::string>& roles);
  Status suppressOffers();
  Status suppressOffers(const std::vector<std::string>& roles);
  Status acknowledgeStatusUpdate(const TaskStatus&);
  Status sendFrameworkMessage(const ExecutorID&, const SlaveID&, const std::string& data);
  Status reconcileTasks(const std::vector<TaskStatus>&);
  Status updateFramework(const FrameworkInfo&, const std::vector<std::string>& suppressed, scheduler::OfferConstraints&&);
};

}  // namespace mesos
