package main

import (
	"fmt"
	"os"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/mesos/mesos-go/api/v0/auth"
	"github.com/mesos/mesos-go/api/v0/auth/sasl"
	_ "github.com/mesos/mesos-go/api/v0/auth/sasl/mech/crammd5"
	mesos "github.com/mesos/mesos-go/api/v0/mesosproto"
	util "github.com/mesos/mesos-go/api/v0/mesosutil"
	sched "github.com/mesos/mesos-go/api/v0/scheduler"
	"golang.org/x/net/context"
)

var scenarios = map[string]func(*play){
	"life":         life,
	"kill":         kill,
	"offers":       offers,
	"reconcile":    reconcile,
	"refusals":     refusals,
	"executor":     customExecutor,
	"lost":         lostExecutor,
	"predecessor":  predecessor,
	"successor":    successor,
	"ousted":       ousted,
	"heir":         heir,
	"removed":      removed,
	"authenticate": authenticate,
}

const (
	staging  = mesos.TaskState_TASK_STAGING
	starting = mesos.TaskState_TASK_STARTING
	running  = mesos.TaskState_TASK_RUNNING
	finished = mesos.TaskState_TASK_FINISHED
	failed   = mesos.TaskState_TASK_FAILED
	killed   = mesos.TaskState_TASK_KILLED
	lost     = mesos.TaskState_TASK_LOST
	wrong    = mesos.TaskState_TASK_ERROR
)

func resources(cpus, mem float64) []*mesos.Resource {
	return []*mesos.Resource{util.NewScalarResource("cpus", cpus), util.NewScalarResource("mem", mem)}
}

func task(id string, offer *mesos.Offer) *mesos.TaskInfo {
	return &mesos.TaskInfo{
		Name: proto.String(id), TaskId: util.NewTaskID(id), SlaveId: offer.SlaveId, Resources: resources(0.1, 32),
	}
}

func command(id string, offer *mesos.Offer, line string) *mesos.TaskInfo {
	made := task(id, offer)
	made.Command = &mesos.CommandInfo{Value: proto.String(line)}
	return made
}

func withExecutor(id string, offer *mesos.Offer) *mesos.TaskInfo {
	self, err := os.Executable()
	if err != nil {
		fail("%v", err)
	}
	made := task(id, offer)
	made.Data = []byte(id)
	made.Executor = &mesos.ExecutorInfo{
		ExecutorId: util.NewExecutorID("go"), Name: proto.String("Go"), Resources: resources(0.1, 32),
		Command: &mesos.CommandInfo{Value: proto.String("exec " + self + " executor")},
	}
	return made
}

var noFilter = &mesos.Filters{RefuseSeconds: proto.Float64(0)}

func (p *play) launch(make func(*mesos.Offer) *mesos.TaskInfo) *mesos.Offer {
	offer := p.wait("offer").offer
	p.driver.LaunchTasks([]*mesos.OfferID{offer.Id}, []*mesos.TaskInfo{make(offer)}, noFilter)
	return offer
}

func (p *play) launchCommand(id, line string) *mesos.Offer {
	return p.launch(func(offer *mesos.Offer) *mesos.TaskInfo { return command(id, offer, line) })
}

func (p *play) up(id string) {
	p.state(id, starting)
	p.state(id, running)
}

// AcceptOffers is left out: this driver posts it to /api/v1/scheduler, where Mesos refuses libprocess frameworks.
func life(p *play) {
	p.register()
	p.launchCommand("finishes", "echo hello")
	p.up("finishes")
	p.state("finishes", finished)
	p.launchCommand("fails", "exit 3")
	p.up("fails")
	if status := p.state("fails", failed); status.GetMessage() != "Command exited with status 3" {
		fail("message %q", status.GetMessage())
	}
	p.end()
}

func kill(p *play) {
	p.register()
	p.launchCommand("sleeps", "sleep 1000")
	p.up("sleeps")
	p.driver.KillTask(util.NewTaskID("sleeps"))
	p.state("sleeps", killed)
	p.driver.KillTask(util.NewTaskID("nobody"))
	p.state("nobody", lost)
	p.end()
}

// A declined offer stays away for as long as it was declined, or until the scheduler asks for it.
func offers(p *play) {
	p.register()
	offer := p.wait("offer").offer
	p.driver.DeclineOffer(offer.Id, &mesos.Filters{RefuseSeconds: proto.Float64(1000)})
	select {
	case got := <-p.events:
		fail("%+v although declined", got)
	case <-time.After(2 * time.Second):
	}
	p.driver.RequestResources([]*mesos.Request{{SlaveId: offer.SlaveId, Resources: resources(1, 32)}})
	p.driver.ReviveOffers()
	again := p.wait("offer").offer
	if again.GetSlaveId().GetValue() != offer.GetSlaveId().GetValue() || again.GetId().GetValue() == offer.GetId().GetValue() {
		fail("%v after %v", again, offer)
	}
	p.end()
}

func reconcile(p *play) {
	p.register()
	offer := p.launchCommand("sleeps", "sleep 1000")
	p.up("sleeps")
	reconciled := func(id string, want mesos.TaskState) {
		status := p.state(id, want)
		if status.GetReason() != mesos.TaskStatus_REASON_RECONCILIATION || len(status.Uuid) > 0 {
			fail("%v is not a reconciliation", status)
		}
	}
	p.driver.ReconcileTasks(nil)
	reconciled("sleeps", running)
	p.driver.ReconcileTasks([]*mesos.TaskStatus{
		{TaskId: util.NewTaskID("sleeps"), State: staging.Enum()},
		{TaskId: util.NewTaskID("nobody"), SlaveId: offer.SlaveId, State: running.Enum()},
	})
	reconciled("sleeps", running)
	reconciled("nobody", lost)
	p.end()
}

func refusals(p *play) {
	p.register()
	offer := p.launch(func(offer *mesos.Offer) *mesos.TaskInfo {
		huge := command("huge", offer, "true")
		huge.Resources = resources(1000, 32)
		return huge
	})
	if status := p.state("huge", wrong); status.GetReason() != mesos.TaskStatus_REASON_TASK_INVALID {
		fail("%v", status)
	}
	p.driver.LaunchTasks([]*mesos.OfferID{offer.Id}, []*mesos.TaskInfo{command("late", offer, "true")}, noFilter)
	if status := p.state("late", lost); status.GetReason() != mesos.TaskStatus_REASON_INVALID_OFFERS {
		fail("%v", status)
	}
	p.end()
}

// Two tasks of one executor, and messages to it: with the agent's pid at hand the driver writes to the agent itself.
func customExecutor(p *play) {
	p.register()
	for _, id := range []string{"one", "two"} {
		p.launch(func(offer *mesos.Offer) *mesos.TaskInfo { return withExecutor(id, offer) })
		if status := p.state(id, running); string(status.Data) != "data of "+id {
			fail("%v", status)
		} else {
			p.talk(status.SlaveId, "there")
		}
	}
	for _, id := range []string{"one", "two"} {
		p.driver.KillTask(util.NewTaskID(id))
		p.state(id, killed)
	}
	p.end()
}

// Messages of frameworks may be lost, and so this one is sent every other second until the function given is called.
func (p *play) say(agent *mesos.SlaveID, what string) func() {
	send := func() { p.driver.SendFrameworkMessage(util.NewExecutorID("go"), agent, what) }
	send()
	again := time.NewTicker(2 * time.Second)
	go func() {
		for range again.C {
			fmt.Fprintln(os.Stderr, "no answer yet, sent again:", what)
			send()
		}
	}()
	return again.Stop
}

func (p *play) talk(agent *mesos.SlaveID, what string) {
	defer p.say(agent, what)()
	message := p.wait("message")
	if message.text != "back: "+what || message.id != "go" || message.agent.GetValue() != agent.GetValue() {
		fail("%+v", message)
	}
}

// An executor that ends takes its tasks along; the scheduler hears of both.
func lostExecutor(p *play) {
	p.register()
	offer := p.launch(func(offer *mesos.Offer) *mesos.TaskInfo { return withExecutor("orphan", offer) })
	p.state("orphan", running)
	p.driver.SendFrameworkMessage(util.NewExecutorID("go"), offer.SlaveId, "die")
	p.state("orphan", failed)
	gone := p.wait("executor lost")
	if gone.id != "go" || gone.agent.GetValue() != offer.GetSlaveId().GetValue() || gone.number != 7<<8 {
		fail("%+v", gone)
	}
	p.end()
}

// Leaves its task running and ends without a word.
func predecessor(p *play) {
	p.register()
	p.launch(func(offer *mesos.Offer) *mesos.TaskInfo { return withExecutor("kept", offer) })
	p.state("kept", running)
	fmt.Println(p.id)
	os.Exit(0)
}

// Takes over from predecessor. It knows no agent's pid, so its messages go through the master. The predecessor's
// last acknowledgement may never have been sent; then the update comes again, and the reconciliation beside it.
func successor(p *play) {
	p.register()
	p.driver.ReconcileTasks(nil)
	status := p.state("kept", running)
	defer p.say(status.SlaveId, "after all")()
	said := false
	for got := range p.events {
		switch state := got.status.GetState(); {
		case got.kind == "message" && got.text == "back: after all" && !said:
			said = true
			p.driver.KillTask(status.TaskId)
		case got.kind == "update" && state == killed && said:
			p.end()
		case got.kind == "offer", got.kind == "update" && state == running:
		default:
			fail("%+v", got)
		}
	}
}

// Says who it is and stays until another scheduler takes over its id.
func ousted(p *play) {
	p.register()
	fmt.Println(p.id)
	if why := p.wait("error").text; why != "Framework failed over" {
		fail("error %q", why)
	}
	os.Exit(0)
}

// Takes over the id of `ousted`.
func heir(p *play) {
	p.register()
	p.end()
}

// Comes back under an id that was torn down.
func removed(p *play) {
	if why := p.wait("error").text; why != "Framework has been removed" {
		fail("error %q", why)
	}
	os.Exit(0)
}

func authenticated(config *sched.DriverConfig) {
	config.Credential = &mesos.Credential{Principal: proto.String("somebody"), Secret: proto.String("secret")}
	config.WithAuthContext = func(ctx context.Context) context.Context {
		return sasl.WithBindingAddress(auth.WithLoginProvider(ctx, sasl.ProviderName), loopback)
	}
}

// A master without credentials knows nobody: the attempt is refused, and the driver stays outside.
func authenticate(p *play) {
	select {
	case got := <-p.events:
		fail("%+v without authentication", got)
	case <-time.After(3 * time.Second):
	}
	os.Exit(0)
}
