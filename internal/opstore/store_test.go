package opstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/cardworker/cardworker/internal/redistest"
	"github.com/cardworker/cardworker/tasks"
)

// facts hold on every kind of Redis.
var facts = map[string]func(*testing.T, fixture){
	"AcceptRecordsTheRequest":               acceptRecordsTheRequest,
	"AcceptJoinsTheOpenOperation":           acceptJoinsTheOpenOperation,
	"AcceptKeepsTheTraceThereIs":            acceptKeepsTheTraceThereIs,
	"AcceptEnqueuesInTheSameStep":           acceptEnqueuesInTheSameStep,
	"AcceptFindsTheTaskOfALostRecord":       acceptFindsTheTaskOfALostRecord,
	"AcceptSucceedsWithoutItsTask":          acceptSucceedsWithoutItsTask,
	"AcceptRepeatedEnqueuesOnce":            acceptRepeatedEnqueuesOnce,
	"AcceptEnqueuesUnderTheIDOfTheKey":      acceptEnqueuesUnderTheIDOfTheKey,
	"AcceptLeavesATaskNobodyPrepared":       acceptLeavesATaskThatCannotBePrepared,
	"AcceptConcurrentlyCreatesOne":          acceptConcurrentlyCreatesOne,
	"AcceptPassesOverALockOfNobody":         acceptPassesOverALockOfNobody,
	"AcceptExplicitExpiry":                  acceptExplicitExpiry,
	"AcceptTwiceUnderOneTaskID":             acceptTwiceUnderOneTaskID,
	"AcceptEndsWhatExpired":                 acceptEndsWhatExpiredAndCanDoNothingMore,
	"AcceptJoinsWhatMayHaveBeenSent":        acceptJoinsWhatExpiredAndMayHaveBeenSent,
	"AcceptEndsTheOperationOfATaskOfOthers": acceptEndsTheOperationOfATaskOfOthers,
	"AcceptConcurrentlyEndsOnce":            acceptConcurrentlyEndsOnce,
	"AcceptAllIsAcceptOfEach":               acceptAllIsAcceptOfEach,
	"AcceptAllJudgesWhatIsNotNew":           acceptAllJudgesWhatIsNotNew,
	"AcceptAllAcceptsNothingOfThoseWhoLeft": acceptAllAcceptsNothingOfThoseWhoLeft,
	"AcceptAllSucceedsWithoutItsTasks":      acceptAllSucceedsWithoutItsTasks,
	"AcceptAllRepeatedAcceptsOnce":          acceptAllRepeatedAcceptsOnce,
	"AcceptAllRefusedIsAcceptedAlone":       acceptAllRefusedIsAcceptedAlone,
	"AcceptAllComesToAnEnd":                 acceptAllComesToAnEnd,
	"LimitCountsUnblocksOfCardAndKind":      limitCountsUnblocksOfCardAndKind,
	"LimitWindowSlides":                     limitWindowSlides,
	"LimitOffAndJoinsUncounted":             limitOffAndJoinsUncounted,
	"LimitCountsWhatExpired":                limitCountsWhatExpired,
	"KeyIsTheSameOperation":                 keyIsTheSameOperation,
	"KeyOfAnotherRequestIsRefused":          keyOfAnotherRequestIsRefused,
	"KeyConcurrentlyIsOneOperation":         keyConcurrentlyIsOneOperation,
	"KeyOutlivesACrashBeforeAccept":         keyOutlivesACrashBeforeAccept,
	"KeyThatJoinedStaysWithWhatItJoined":    keyThatJoinedStaysWithWhatItJoined,
	"KeyIsFreeAfterARefusal":                keyIsFreeAfterARefusal,
	"KeySharedStaysAfterARefusal":           keySharedStaysAfterARefusal,
	"KeyKeepsItsRecord":                     keyKeepsItsRecord,
	"KeyStaysWithWhatExpired":               keyStaysWithWhatExpired,
	"BeginTakesTheLeaseOnce":                beginTakesTheLeaseOnce,
	"BeginConcurrentlyGivesOneLease":        beginConcurrentlyGivesOneLease,
	"CallsRepeatedAfterALostReplyCountOnce": callsRepeatedAfterALostReplyCountOnce,
	"AnEarlyBeginRepeatedWhenItIsDue":       anEarlyBeginRepeatedWhenItIsDueCountsTheAttempt,
	"BeginRefusesATaskOfAnotherType":        beginRefusesATaskOfAnotherType,
	"BeginSaysWhyNot":                       beginSaysWhyNot,
	"BeginEarlyThenDue":                     beginEarlyThenDue,
	"BeginExpiredCountsNothing":             beginExpiredCountsNothing,
	"LeaseLapsesByItself":                   leaseLapsesByItself,
	"CallMarkRemembersWhatWasNotLearned":    callMarkRemembersWhatWasNotLearned,
	"FenceRefusesEveryLateWrite":            fenceRefusesEveryLateWrite,
	"ExtendKeepsOrTellsTheLoss":             extendKeepsOrTellsTheLoss,
	"ExtendDoesNotReviveAGivenUpLease":      extendDoesNotReviveAGivenUpLease,
	"YieldRecordsWhatWasLearned":            yieldRecordsWhatWasLearned,
	"YieldGivesAnUnburnedTryBack":           yieldGivesAnUnburnedTryBack,
	"ChainMakesTheConfirmationTheTask":      chainMakesTheConfirmationTheTask,
	"HandoverIsChainAndBegin":               handoverIsChainAndBegin,
	"HandoverGoesElsewhere":                 handoverGoesElsewhere,
	"HandoverRepeatedIsOne":                 handoverRepeatedIsOne,
	"HandoverEndsTheTask":                   handoverEndsTheTask,
	"FinishEndsTheTask":                     finishEndsTheTask,
	"TheCountOfTheProcessedBeginsAnew":      theCountOfTheProcessedBeginsAnew,
	"FinishLeavesNothingBehind":             finishLeavesNothingBehind,
	"FinishSparesTheLockOfAnother":          finishSparesTheLockOfAnother,
	"FinishRemembersAnUnknownCall":          finishRemembersAnUnknownCall,
	"DueFindsWhatLostItsWorkerOrTask":       dueFindsWhatLostItsWorkerOrTask,
	"DueUrgentFirst":                        dueUrgentFirst,
	"LoadKeepsTheOrder":                     loadKeepsTheOrder,
	"PostponeLooksAgainByTheExpiry":         postponeLooksAgainByTheExpiry,
	"PostponeTidiesUp":                      postponeTidiesUp,
	"PostponeClearsTheWayOfUnreadable":      postponeClearsTheWayOfUnreadableRecords,
	"PostponeKeepsALapsedUnreadable":        postponeKeepsAnUnreadableRecordWhoseLeaseLapsed,
	"RedispatchSupersedesTaskAndRun":        redispatchSupersedesTaskAndRun,
	"RedispatchByOneOfMany":                 redispatchByOneOfMany,
	"RedispatchRepeatedIsOne":               redispatchRepeatedIsOne,
	"YieldIsFoundByRecovery":                yieldIsFoundByRecovery,
	"RedriveSendsOrOnlyConfirms":            redriveSendsOrOnlyConfirms,
	"RedriveIsAnotherLife":                  redriveIsAnotherLife,
	"RedriveSaysWhyNot":                     redriveSaysWhyNot,
	"EventsTellTheStory":                    eventsTellTheStory,
	"EventsStayThatFollowALongPause":        eventsStayThatFollowALongPause,
	"TokenIsInTheRecordAlone":               tokenIsInTheRecordAlone,
	"WatchTellsOfEveryChange":               watchTellsOfEveryChange,
	"AnEndingTellsWhatAReadFinds":           anEndingTellsWhatAReadFinds,
	"AnEndingWithoutAStatusIsToBeRead":      anEndingWithoutAStatusIsToBeRead,
	"GetTellsWhatIsNotThere":                getTellsWhatIsNotThere,
	"KeysOfACardShareASlot":                 keysOfACardShareASlot,
	"ScriptsAnswerEveryOutcomeOfTheirHeads": scriptsAnswerEveryOutcomeOfTheirHeads,
}

// testStore is the suite that every kind of Redis passes.
func testStore(t *testing.T, newClient func(testing.TB) redis.UniversalClient) {
	t.Helper()
	for name, fact := range facts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fact(t, newFixture(t, newClient(t)))
		})
	}
}

func TestStore_OnAServer(t *testing.T) {
	t.Parallel()
	testStore(t, func(t testing.TB) redis.UniversalClient {
		client, _ := redistest.Shared(t)
		return client
	})
}

func TestStore_Embedded(t *testing.T) {
	t.Parallel()
	testStore(t, func(t testing.TB) redis.UniversalClient {
		client, _ := redistest.Embedded(t)
		return client
	})
}

func TestStore_OnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	testStore(t, cluster.Client)
}

func TestStore_BehindSentinels(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t)
	testStore(t, sentinel.Client)
}

func getTellsWhatIsNotThere(t *testing.T, f fixture) {
	for _, id := range []string{"", "4111111111111111", "cw05-nonsense", strings.Repeat("x", 300), NewID(card(t))} {
		_, err := f.store.Get(t.Context(), id)
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%q) = %v, want ErrNotFound", id, err)
		}
		if err != nil && (strings.Contains(err.Error(), "4111") || len(err.Error()) > 120) {
			t.Errorf("Get(%q) = %q, which repeats too much", id, err)
		}
	}
}

// All keys that one script touches have to lie in one slot of a cluster.
func keysOfACardShareASlot(t *testing.T, f fixture) {
	rec := f.open(tasks.UnblockPIN)
	tag := "{" + tasks.ShardOf(rec.ID) + "}"
	for _, key := range []string{
		opKey(rec.ID), auditKey(tasks.ShardOf(rec.ID)), leasedKey(tasks.ShardOf(rec.ID)), joinedKey(rec.ID),
		waitingKey(tasks.ShardOf(rec.ID), rec.Kind), lockKey(rec.Token, rec.Kind), limitKey(rec.Token, rec.Kind),
	} {
		if !strings.HasPrefix(key, "cardworker:"+tag+":") || strings.Count(key, "{") != 1 {
			t.Errorf("key %s, want it under cardworker:%s:", key, tag)
		}
	}
}
