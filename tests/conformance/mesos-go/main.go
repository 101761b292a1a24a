// A v0 scheduler and a v0 executor on mesos-go's drivers: libprocess messages and nothing else.
//
//	mesos-go scheduler HOST:PORT SCENARIO [FRAMEWORK_ID]   exit status 0 if all held
//	mesos-go executor                                      as an agent starts it
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gogo/protobuf/proto"
	exec "github.com/mesos/mesos-go/api/v0/executor"
	mesos "github.com/mesos/mesos-go/api/v0/mesosproto"
	sched "github.com/mesos/mesos-go/api/v0/scheduler"
)

func main() {
	flag.Set("logtostderr", "true")
	flag.Parse()
	switch {
	case flag.Arg(0) == "executor":
		runExecutor()
	case flag.Arg(0) == "scheduler" && flag.NArg() >= 3:
		runScheduler(flag.Arg(1), flag.Arg(2), flag.Arg(3))
	default:
		fail("scheduler HOST:PORT SCENARIO [FRAMEWORK_ID], or executor")
	}
}

func fail(format string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, "FAILED: "+format+"\n", values...)
	os.Exit(1)
}

var loopback = net.IPv4(127, 0, 0, 1)

// ---- executor: tasks in name only, messages sent back ----

type executor struct{}

func runExecutor() {
	driver, err := exec.NewMesosExecutorDriver(exec.DriverConfig{
		Executor: executor{}, HostnameOverride: "127.0.0.1", BindingAddress: loopback,
	})
	if err != nil {
		fail("executor driver: %v", err)
	}
	if _, err := driver.Start(); err != nil {
		fail("executor start: %v", err)
	}
	driver.Join()
}

func (executor) status(driver exec.ExecutorDriver, task *mesos.TaskID, state mesos.TaskState, data string) {
	status := &mesos.TaskStatus{TaskId: task, State: state.Enum(), Data: []byte(data)}
	if _, err := driver.SendStatusUpdate(status); err != nil {
		fail("status update: %v", err)
	}
}

func (executor) Registered(_ exec.ExecutorDriver, info *mesos.ExecutorInfo, framework *mesos.FrameworkInfo, _ *mesos.SlaveInfo) {
	fmt.Printf("registered %s of %s\n", info.GetExecutorId().GetValue(), framework.GetId().GetValue())
}

func (executor) Reregistered(exec.ExecutorDriver, *mesos.SlaveInfo) { fmt.Println("reregistered") }
func (executor) Disconnected(exec.ExecutorDriver)                   { fmt.Println("disconnected") }
func (executor) Error(_ exec.ExecutorDriver, why string)            { fail("executor error: %s", why) }

func (e executor) LaunchTask(driver exec.ExecutorDriver, task *mesos.TaskInfo) {
	e.status(driver, task.TaskId, mesos.TaskState_TASK_RUNNING, "data of "+string(task.Data))
}

func (e executor) KillTask(driver exec.ExecutorDriver, task *mesos.TaskID) {
	e.status(driver, task, mesos.TaskState_TASK_KILLED, "")
}

func (executor) FrameworkMessage(driver exec.ExecutorDriver, data string) {
	if data == "die" {
		os.Exit(7)
	}
	if _, err := driver.SendFrameworkMessage("back: " + data); err != nil {
		fail("framework message: %v", err)
	}
}

func (executor) Shutdown(exec.ExecutorDriver) { fmt.Println("shutdown") }

// ---- scheduler: every callback becomes an event that the scenario waits for ----

type event struct {
	kind   string
	id     string
	offer  *mesos.Offer
	status *mesos.TaskStatus
	agent  *mesos.SlaveID
	text   string
	number int
}

type scheduler struct{ events chan event }

func (s scheduler) Registered(_ sched.SchedulerDriver, id *mesos.FrameworkID, master *mesos.MasterInfo) {
	s.events <- event{kind: "registered", id: id.GetValue(), text: master.GetPid()}
}
func (s scheduler) Reregistered(sched.SchedulerDriver, *mesos.MasterInfo) {
	s.events <- event{kind: "reregistered"}
}
func (s scheduler) Disconnected(sched.SchedulerDriver) { s.events <- event{kind: "disconnected"} }
func (s scheduler) ResourceOffers(_ sched.SchedulerDriver, offers []*mesos.Offer) {
	for _, offer := range offers {
		s.events <- event{kind: "offer", offer: offer, agent: offer.SlaveId}
	}
}
func (s scheduler) OfferRescinded(_ sched.SchedulerDriver, id *mesos.OfferID) {
	s.events <- event{kind: "rescinded", id: id.GetValue()}
}
func (s scheduler) StatusUpdate(_ sched.SchedulerDriver, status *mesos.TaskStatus) {
	s.events <- event{kind: "update", status: status, agent: status.SlaveId}
}
func (s scheduler) FrameworkMessage(_ sched.SchedulerDriver, id *mesos.ExecutorID, agent *mesos.SlaveID, data string) {
	s.events <- event{kind: "message", id: id.GetValue(), agent: agent, text: data}
}
func (s scheduler) SlaveLost(_ sched.SchedulerDriver, agent *mesos.SlaveID) {
	s.events <- event{kind: "slave lost", agent: agent}
}
func (s scheduler) ExecutorLost(_ sched.SchedulerDriver, id *mesos.ExecutorID, agent *mesos.SlaveID, status int) {
	s.events <- event{kind: "executor lost", id: id.GetValue(), agent: agent, number: status}
}
func (s scheduler) Error(_ sched.SchedulerDriver, why string) {
	s.events <- event{kind: "error", text: why}
}

// One scenario under way.
type play struct {
	driver *sched.MesosSchedulerDriver
	events chan event
	id     string // of the framework
	master string // HOST:PORT
	offers []event
}

func runScheduler(master, scenario, id string) {
	run, known := scenarios[scenario]
	if !known {
		fail("no scenario %s", scenario)
	}
	time.AfterFunc(50*time.Second, func() { fail("%s: nothing more happened", scenario) })
	framework := &mesos.FrameworkInfo{
		User: proto.String("root"), Name: proto.String("mesos-go " + scenario), FailoverTimeout: proto.Float64(60),
	}
	if id != "" {
		framework.Id = &mesos.FrameworkID{Value: &id}
	}
	p := &play{events: make(chan event, 1000), master: master}
	config := sched.DriverConfig{
		Scheduler: scheduler{p.events}, Framework: framework, Master: master,
		HostnameOverride: "127.0.0.1", BindingAddress: loopback,
	}
	if scenario == "authenticate" {
		authenticated(&config)
	}
	driver, err := sched.NewMesosSchedulerDriver(config)
	if err != nil {
		fail("scheduler driver: %v", err)
	}
	p.driver = driver
	if _, err := driver.Start(); err != nil {
		fail("scheduler start: %v", err)
	}
	run(p)
}

// The next event of the kind. Offers, which come at any time, are kept for whoever waits for one; everything else is wrong.
func (p *play) wait(kind string) event {
	if kind == "offer" && len(p.offers) > 0 {
		first := p.offers[0]
		p.offers = p.offers[1:]
		return first
	}
	for got := range p.events {
		switch {
		case got.kind == kind:
			return got
		case got.kind == "offer":
			p.offers = append(p.offers, got)
		case got.kind == "rescinded":
			p.rescinded(got.id)
		default:
			fail("%+v came instead of %s", got, kind)
		}
	}
	panic("never closed")
}

func (p *play) rescinded(id string) {
	var left []event
	for _, kept := range p.offers {
		if kept.offer.GetId().GetValue() != id {
			left = append(left, kept)
		}
	}
	p.offers = left
}

func (p *play) register() {
	registered := p.wait("registered")
	if p.id = registered.id; p.id == "" {
		fail("registered without an id")
	}
}

func (p *play) state(task string, want mesos.TaskState) *mesos.TaskStatus {
	status := p.wait("update").status
	if status.GetTaskId().GetValue() != task || status.GetState() != want {
		fail("%v instead of %s of %s", status, want, task)
	}
	return status
}

// Ends the framework, and the program once the master has removed it: Stop hands the message over and waits two
// seconds, whether it was sent or not.
func (p *play) end() {
	go p.driver.Stop(false)
	for p.listed() {
		time.Sleep(20 * time.Millisecond)
	}
	os.Exit(0)
}

func (p *play) listed() bool {
	answer, err := http.Get("http://" + p.master + "/state")
	if err != nil {
		fail("%v", err)
	}
	defer answer.Body.Close()
	var state struct{ Frameworks []struct{ Id string } }
	if err := json.NewDecoder(answer.Body).Decode(&state); err != nil {
		fail("%v", err)
	}
	for _, framework := range state.Frameworks {
		if framework.Id == p.id {
			return true
		}
	}
	return false
}
