// Written by `make ui-types` from /openapi.json.
export type paths = {
    "/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document. */
        get: operations["openapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the process runs. */
        get: operations["healthz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether it should get traffic: it has flags, does not stop, and is not too far behind the store. */
        get: operations["readyz"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/diagnostics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What is served, and what is wrong with documents, the store and the routes' flags. */
        get: operations["diagnostics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The metrics in Prometheus' text format, or as OpenMetrics for who accepts that. */
        get: operations["metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/gateways": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every gateway that gave a sign of life within the last hour. */
        get: operations["gateways"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/store/reseed": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Write what this gateway serves back into a store that lost it, under a new epoch. */
        post: operations["reseed"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Tell who calls. */
        get: operations["who"];
        put?: never;
        /** Log a browser in. */
        post: operations["log_in"];
        /** Log a browser out. */
        delete: operations["log_out"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * All flags, by key; with tags, by `?tags=a&tags=b` or an array as body, those that have one of them. Damaged
         *     documents are in `/diagnostics` instead.
         */
        get: operations["get_flags"];
        put?: never;
        /** Creates a flag: `{"success": true, "flag_key": …}`. */
        post: operations["post_flags"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags/{key}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The whole document, with the defaults of fields that were not set; 304 for who has it already. */
        get: operations["get_flags_key"];
        /**
         * Makes the body the whole document of a flag, new or not: `{"success": true, "flag_key": …}`, 201 when it is new. What
         *     was there may be damaged.
         */
        put: operations["put_flags_key"];
        post?: never;
        /** Removes a flag, unless another one rests on it: `{"success": true}`. */
        delete: operations["delete_flags_key"];
        options?: never;
        head?: never;
        /** Changes the fields that the body names: `{"success": true}`. No concurrent change is lost. */
        patch: operations["patch_flags_key"];
        trace?: never;
    };
    "/flags/evaluate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Evaluates the flags of `flag_keys`, or all: `{key: {value, variation, reason}}`; `{"value": null, "error": …}` for
         *     those that do not exist.
         */
        post: operations["post_flags_evaluate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags/{key}/evaluate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Evaluates one flag: `{key, value, variation, reason, prerequisites_met, evaluation_details}`. */
        post: operations["post_flags_key_evaluate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags/stale": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The flags that are stale, with the reasons: `{as_of, days, evaluations_since, flags}`. A flag that is called `stale` is
         *     answered instead, unless the query says `report`.
         */
        get: operations["stale"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags/{key}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Writes a flag as it was at an earlier revision, as a new revision: `{"success": true, "flag_key": …}`, 201 when it was
         *     gone. What the document refers to may have changed since, so it is checked anew.
         */
        post: operations["post_flags_key_rollback"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags/{key}/preview": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What a change would do, tried on those who were here lately. */
        post: operations["preview"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags/{key}/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * What the flag gives a user, and every step on the way there: prerequisites, targets, each rule with what it saw, the bucket.
         *     Nothing is counted, and nobody is told.
         */
        post: operations["post_flags_key_explain"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/segments": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The segments as this gateway serves them, those of the highest priority first, then by id. Damaged documents are in
         *     `/diagnostics` instead.
         */
        get: operations["get_segments"];
        put?: never;
        /** Creates a segment: `{"success": true, "segment_id": …}`. */
        post: operations["post_segments"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/segments/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The whole document, with the defaults of fields that were not set; 304 for who has it already. */
        get: operations["get_segments_id"];
        /**
         * Makes the body the whole document of a segment, new or not: `{"success": true, "segment_id": …}`, 201 when it is new.
         *     What was there may be damaged. Who created it when, and its estimated size, stay as they are.
         */
        put: operations["put_segments_id"];
        post?: never;
        /** Removes a segment, unless another one, a flag or a kill switch names it: `{"success": true}`. */
        delete: operations["delete_segments_id"];
        options?: never;
        head?: never;
        /** Changes the fields that the body names; null resets one: `{"success": true}`. No concurrent change is lost. */
        patch: operations["patch_segments_id"];
        trace?: never;
    };
    "/segments/{id}/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What happened to a segment, newest first, also to one that is gone: `{entries, next}`. */
        get: operations["get_segments_id_history"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/segments/{id}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Writes a segment as it was at an earlier revision, as a new revision: `{"success": true, "segment_id": …}`, 201 when it
         *     was gone. What the document refers to may have changed since, so it is checked anew.
         */
        post: operations["post_segments_id_rollback"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/segments/evaluate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Tells which segments a user is a member of: `{user_id, segments, details?, profile_unavailable?}`. */
        post: operations["post_segments_evaluate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/users/{id}/segments": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The segments that a user is a member of now, by what is stored of the user and what the user is doing:
         *     `{user_id, segments, details?, profile_unavailable?}`. Of a user of whom nothing is stored, too.
         */
        get: operations["segments"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/kill-switches": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The kill switches as this gateway serves them, by id. Damaged documents are in `/diagnostics` instead. */
        get: operations["get_kill_switches"];
        put?: never;
        /** Creates a kill switch, which kills nothing until it is activated: `{"success": true, "kill_switch_id": …}`. */
        post: operations["post_kill_switches"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/kill-switches/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The whole document; `status` tells whether it kills, since when, who did it and why, and what it did before. */
        get: operations["get_kill_switches_id"];
        /**
         * Makes the body the whole document of a kill switch, new or not: `{"success": true, "kill_switch_id": …}`, 201 when it
         *     is new. Whether it kills stays as it is.
         */
        put: operations["put_kill_switches_id"];
        post?: never;
        /** Removes a kill switch that kills nothing: `{"success": true}`. */
        delete: operations["delete_kill_switches_id"];
        options?: never;
        head?: never;
        /**
         * Changes the fields that the body names; null resets one: `{"success": true}`. Whether it kills stays as it is; what it
         *     kills changes at once.
         */
        patch: operations["patch_kill_switches_id"];
        trace?: never;
    };
    "/kill-switches/{id}/activate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Activates a kill switch: `{"success": true, "kill_switch_id": …, "state": "triggered", "kills": …}`, and how many gateways
         *     applied it in how many milliseconds. One that is triggered already stays so; one that recovers is triggered anew.
         */
        post: operations["activate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/kill-switches/{id}/deactivate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Deactivates a kill switch: what it killed is as it was before. With `gradually` the users come back in the steps of its
         *     recovery instead of all at once.
         */
        post: operations["deactivate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/kill-switches/{id}/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What a kill switch did and what was done to it, newest first, also one that is gone: `{entries, next, activations}`. */
        get: operations["get_kill_switches_id_history"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/kill": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Kills flags, tags, segments, services, a region or all, at once: every field that is named narrows it down, and the answer
         *     names the switch that does it, what it kills, and how many gateways applied it in how many milliseconds. The same target
         *     has the same switch, so that killing it twice is as once.
         */
        post: operations["kill"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/kill/lift": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Undoes `/kill`: the same target lifts the switch that kills it, `ids` lift these, `"everything": true` all that are
         *     active. With `gradually` the users come back in steps. What is not killed is no error; what other switches still kill is
         *     told.
         */
        post: operations["lift"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The deployments as this gateway serves them, by id. Damaged documents are in `/diagnostics` instead. */
        get: operations["get_deployments"];
        put?: never;
        /** Creates a deployment, which does nothing until it is started: `{"success": true, "deployment_id": …}`. */
        post: operations["post_deployments"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * A deployment with its `status`: the state of each stage, and what it waits on, in words. `If-None-Match` spares who has
         *     it already.
         */
        get: operations["get_deployments_id"];
        /**
         * Makes the body the whole document of a deployment, new or not: `{"success": true, "deployment_id": …}`, 201 when it is
         *     new. A new `version` of one that runs takes its place at once: what the old one changed goes back to what was stable
         *     before, and the new one begins. One that has ended can be started again after that.
         */
        put: operations["put_deployments_id"];
        post?: never;
        /** Removes a deployment that does not run: `{"success": true}`. The flags stay as they are. */
        delete: operations["delete_deployments_id"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Starts a deployment: its stages begin, each when its turn has come.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["post_deployments_id_start"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/pause": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stops the clock of a deployment. The flags stay as they are, until it is resumed or aborted.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["pause"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/resume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Goes on with a deployment that is paused: by a person, by a step, or as its analysis is inconclusive.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["resume"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/promote": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Does not wait any longer at the step that each running stage is at. Approvals and smoke tests cannot be skipped.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["promote"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/promote_full": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Sends everybody to the new side of each running stage now. Approvals and smoke tests cannot be skipped.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["promote_full"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/abort": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Undoes a deployment: its flags go back to what they were, the stage that began last first. It needs no conductor: this gateway begins at once.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["abort"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Begins a deployment anew that failed or was rolled back. Stages that are still completed stay so.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["retry"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/approve": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Approves at a manual gate: in the name of the caller, or of another if the caller is an admin.
         *     The answer is `{"success": true, "deployment_id": …, "state": …, "status": {…}}`.
         */
        post: operations["approve"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/deployments/{id}/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What happened to a deployment, newest first, also to one that is gone: `{entries, next}`. Each step of the conductor is
         *     an entry.
         */
        get: operations["get_deployments_id_history"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every flag, segment and model as it is stored, by key: what an import takes back. */
        get: operations["export"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/import": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Creates and updates the flags, segments and models that the body defines, and answers with what was done to each. Nothing is
         *     written when anything is wrong with the body. `replace` deletes others of a kind that the body names: without
         *     `segments` it leaves segments alone.
         */
        post: operations["import"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/traffic": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Requests, errors, latency and users of the last seconds for each arm that had requests: each way of a route by strategy
         *     and upstream, and each variation of a flag that a route names. Counts of all gateways that share the store, merged. The
         *     second that is now is left out, as it is not over.
         */
        get: operations["traffic"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/tail": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Requests to this gateway as they end, each with what was decided for it. */
        get: operations["tail"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/track": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Takes what users did, for analytics and events: one action, an array of them, or `{"events": […]}`. */
        post: operations["track"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/analytics/flags/{key}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What each variation of a flag did to the traffic and to what users did: evaluations, requests, errors, latency, distinct
         *     users, and conversions and values of those whom a draw put into it; each beside the control, with an interval and a p-value
         *     that hold however often one looks. All gateways together.
         */
        get: operations["flag"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/analytics/routes/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What each way of a route's requests, by strategy and upstream, had of requests, errors, latency and distinct users, beside
         *     the control. All gateways together.
         */
        get: operations["route"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/analytics/deployments/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What a deployment did: the reports of the flags and routes of its stages, and how far each stage is. */
        get: operations["deployment"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/insights": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What somebody should look at, the worst first: `insights`, each with its evidence and what could be done; and
         *     `attributions`: what changed on variations and ways of routes, beside what people and deployments changed in the minutes
         *     before.
         */
        get: operations["get_insights"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What happened to all documents, newest first: `{entries, next}`. */
        get: operations["audit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/changes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * What was changed lately, newest first: `{entries, next}`. As `/audit`, but for each entry the names of the `fields` that
         *     changed instead of what stood in them.
         */
        get: operations["changes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/flags/{key}/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What happened to a flag, newest first, also to one that is gone: `{entries, next}`. */
        get: operations["get_flags_key_history"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/profiles": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All profiles, in pages and in no order that means anything. */
        get: operations["get_profiles"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/profiles/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All that is stored of a user, and what the user does now. */
        get: operations["get_profiles_id"];
        /** Makes the body a user's whole profile, new or not. Memberships and activity stay. */
        put: operations["put_profiles_id"];
        post?: never;
        /** Forgets a user, activity included. */
        delete: operations["delete_profiles_id"];
        options?: never;
        head?: never;
        /** Changes single fields of a profile, or creates it with them; null removes a field. */
        patch: operations["patch_profiles_id"];
        trace?: never;
    };
    "/profiles/{id}/activity": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Says what a user is doing now, in place of what was said before. */
        post: operations["post_profiles_id_activity"];
        /** Says that a user is doing nothing any more. */
        delete: operations["delete_profiles_id_activity"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/profiles:batch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Writes profiles as they come: one on each line, as `PUT` takes it, with its `user_id`. */
        post: operations["batch"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** All models by id: `{models: [{id, revision, kind, feature_columns, report, serving, segments, …}]}`. */
        get: operations["get_models"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/models/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A model's document, as it can be put back; the number in `ETag` is its revision. */
        get: operations["get_models_id"];
        /**
         * Makes the body a whole model, new or not: its JSON document, or the bytes of an ONNX file, of which the query says what the
         *     document would. Segments go by it at once.
         */
        put: operations["put_models_id"];
        post?: never;
        /** Removes a model that no segment asks. */
        delete: operations["delete_models_id"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/models/{id}/train": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Trains a model on stored profiles, and writes it; segments go by it at once. */
        post: operations["train"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/models/{id}/predict": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * What a model says of someone: of the attributes that are given, and where they say nothing, of the stored profile of
         *     `user_id`. `features` are the numbers that it went by; null: the mean of its training.
         */
        post: operations["predict"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/models/{id}/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The revisions of a model, newest first, also of one that is gone: `{entries, next}`. A network is told by its hash. */
        get: operations["get_models_id_history"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/models/{id}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Writes a model as it was at an earlier revision, as a new revision; segments go by it at once. 201 when it was gone. */
        post: operations["post_models_id_rollback"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/segments/{id}/estimate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** How many users are in a segment, from some who are drawn */
        post: operations["estimate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/segments/overlap": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** In which segments users are together */
        get: operations["overlap"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/segments/{id}/recompute": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How far a segment is worked out */
        get: operations["progress"];
        put?: never;
        /** Work out anew for every user whether they are in a segment */
        post: operations["post_segments_id_recompute"];
        /** Stop working out a segment */
        delete: operations["stop"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What would become of a request that is not sent. */
        post: operations["post_explain"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/config/reload": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Reads the configuration file anew. */
        post: operations["reload"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ws": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Changes of flags and segments as they are applied here. */
        get: operations["ws"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Changes of flags and segments as they are applied here, as server-sent events. */
        get: operations["events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ofrep/v1/evaluate/flags/{key}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Evaluates one flag */
        post: operations["ofrepEvaluateFlag"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ofrep/v1/evaluate/flags": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Evaluates all flags */
        post: operations["ofrepEvaluateFlags"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ofrep/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Follow changes of flags */
        get: operations["ofrepEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/routes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The routes of this gateway with their strategies in the order in which they are asked, and its upstreams with the health of
         *     each endpoint as this gateway sees it. `/traffic` tells how many requests go each way.
         */
        get: operations["ways"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A page that shows this document and can try it. */
        get: operations["docs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/docs/{part}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A part of that page. */
        get: operations["part"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
};
export type webhooks = Record<string, never>;
export type components = {
    schemas: {
        Activity: {
            /** @default 600 */
            ttl_seconds: number;
        } & {
            [key: string]: unknown;
        };
        /** @description What a command did. `revision` to `ms` are there when it waited for gateways. */
        Conducted: {
            /** @constant */
            success?: true;
            /** @constant */
            dry_run?: true;
            deployment_id?: string;
            state?: string;
            status?: components["schemas"]["DeploymentStatus"];
            revision?: number;
            acknowledged?: number;
            of?: number;
            ms?: number;
        };
        /** @description A deployment: stages that change flags, each when its turn has come. */
        Deployment: {
            /** @description Names the deployment. It cannot change. */
            id?: string;
            name?: string;
            description?: string | null;
            /** @description Of what is delivered. Another one takes the place of one that runs. */
            version?: string;
            /** @description It is rolled back when it takes longer. */
            max_duration_hours?: number | null;
            /**
             * @description Stages that do not depend on each other run at the same time.
             * @default false
             */
            parallel_stages: boolean;
            stages: {
                name: string;
                description?: string;
                /** @enum {unknown} */
                strategy: "blue_green" | "canary" | "feature_flag" | "shadow" | "progressive";
                /** @description What the strategy takes; see docs/delivery.md. */
                config: Record<string, never>;
                gates?: {
                    /** @enum {unknown} */
                    type: "manual" | "automatic" | "scheduled" | "metric_based";
                }[];
                /** @description Stages that have to be completed before it. */
                dependencies?: string[];
                /**
                 * @description Whether it, and those before it, are undone when it or one after it fails.
                 * @default true
                 */
                rollback_on_failure: boolean;
            }[];
            tags?: string[];
            notification_channels?: string[];
            /** @description RFC 3339, UTC. */
            created_at?: string | null;
            /** @description RFC 3339, UTC. */
            updated_at?: string | null;
            created_by?: string | null;
            status?: components["schemas"]["DeploymentStatus"];
        };
        Estimate: {
            segment_id: string;
            /** @description How many of those who were drawn. */
            matches: number;
            /** @description How many were drawn. */
            sample: number;
            /** @description How many users have a profile. */
            total: number;
            /** @description How many of all, most likely. */
            estimate: number;
            low: number;
            high: number;
            /** @description 0.95, or 1 when all were looked at. */
            confidence: number;
        };
        EstimateRequest: {
            /** @default 2000 */
            sample: number;
        };
        EvaluateRequest: {
            user_id: string;
            attributes?: Record<string, never>;
            request_id?: string | null;
            /** Format: date-time */
            timestamp?: string | null;
        };
        EvaluateSegments: {
            user_id: string;
            attributes?: Record<string, never>;
            /** @description Only these; all unless given. */
            segments?: string[];
            /** @default false */
            explain: boolean;
            request_id?: string | null;
            /** Format: date-time */
            timestamp?: string | null;
        };
        Evaluation: {
            key: string;
            value: unknown;
            variation: string | null;
            reason: string;
            prerequisites_met: boolean;
            evaluation_details: Record<string, never>;
        };
        /** @description A flag. Fields that are absent have the default; unknown fields of stored documents are kept. */
        Flag: {
            /** @description Names the flag. It cannot change. */
            key: string;
            name?: string | null;
            description?: string | null;
            /**
             * @description What all of its values are.
             * @default boolean
             * @enum {unknown}
             */
            flag_type: "boolean" | "string" | "number" | "json";
            /**
             * @description The value when nothing else gives one, and when the flag is off.
             * @default false
             */
            default_value: unknown;
            /** @default true */
            enabled: boolean;
            /**
             * @description Whether the rules count.
             * @default false
             */
            targeting_enabled: boolean;
            /** @description The first that matches decides. */
            targeting_rules?: components["schemas"]["Rule"][];
            /**
             * @description Whether the rollout counts.
             * @default false
             */
            rollout_enabled: boolean;
            /** @description The share of users that get the first variant, or true. */
            rollout_percentage?: number;
            /** @description Instead of the percentage: the first that is active and takes the user. */
            rollout_stages?: components["schemas"]["Stage"][];
            /** @description Flags that must be on for this one; by key, or with the variations or the value that they must have. */
            prerequisites?: (string | {
                key: string;
                variations?: string[];
                value?: unknown;
            })[];
            /** @description Named values. */
            variants?: {
                [key: string]: unknown;
            };
            tags?: string[];
            /** @description RFC 3339, UTC. */
            created_at?: string | null;
            /** @description RFC 3339, UTC. */
            updated_at?: string | null;
            created_by?: string | null;
            updated_by?: string | null;
            /** @description A JSON Schema (2020-12) that every value satisfies. */
            value_schema?: Record<string, never> | boolean | null;
            split?: components["schemas"]["Split"];
            /** @description The attribute that decides the bucket; the user's id without it. */
            bucket_by?: string;
            /** @description Stands for the key in the bucket's hash. */
            salt?: string;
            /**
             * @default md5
             * @enum {unknown}
             */
            hash: "md5" | "murmur3" | "sha1" | "fnv1a";
            /** @description The variant whose value is given when the flag is off. */
            off_variant?: string;
            /** @description Variant: the users who get it before all rules. */
            targets?: {
                [key: string]: string[];
            };
            /** @description A flag whose fields are inherited; when it is off, so is this one. */
            parent?: string;
            /** @enum {unknown} */
            kind?: "release" | "experiment" | "ops" | "permission";
            owner?: string;
            /** @description RFC 3339; after it the flag counts as stale. */
            expires_at?: string;
            /** @description It is never stale. */
            permanent?: boolean;
            /** @description Environment: the fields that differ there. */
            environments?: {
                [key: string]: Record<string, never>;
            };
        };
        Kill: {
            flags?: string[];
            /** @description All flags with one of these. */
            tags?: string[];
            /** @description Routes and upstreams. */
            services?: string[];
            service?: string;
            /** @description Only for members of these; not together with a region. */
            segments?: string[];
            /** @description Only in this region. */
            region?: string;
            /** @description All flags; not together with flags, tags and services. */
            all?: boolean;
            /** @description Not flags with the tag `critical`. */
            exempt_critical?: boolean;
            reason: string;
        };
        /** @description A kill switch: while it is active, the flags that it affects give their default, and requests that it affects go to their route's own upstream. Fields that are absent have the default. */
        KillSwitch: {
            /** @description Names the kill switch. It cannot change. */
            id: string;
            name?: string | null;
            description?: string | null;
            /**
             * @description What it is about. A global, region or user_segment switch that lists no features and services kills all flags.
             * @default feature
             * @enum {unknown}
             */
            scope: "global" | "region" | "service" | "user_segment" | "feature";
            /** @description The region; or a first service, segment, flag or `tag:…`. */
            scope_value?: string | null;
            /** @description Flags by key, or by tag: `tag:checkout`. */
            affected_features?: string[];
            /** @description Routes and upstreams. */
            affected_services?: string[];
            /** @description It applies to their members alone. */
            affected_segments?: string[];
            /**
             * @description Spares flags with the tag `critical`.
             * @default false
             */
            exempt_critical: boolean;
            /** @default false */
            auto_trigger_enabled: boolean;
            /**
             * @description The share of errors, in percent, from which a breaker opens.
             * @default 50
             */
            error_threshold: number;
            /** @description Requests that take longer, in seconds, count as slow. */
            latency_threshold?: number | null;
            /** @default 20 */
            volume_threshold: number;
            /** @default false */
            circuit_breaker_enabled: boolean;
            /** @default 5 */
            failure_count_threshold: number;
            /** @default 3 */
            success_count_threshold: number;
            /** @default 60 */
            timeout_seconds: number;
            /** @default 3 */
            half_open_requests: number;
            /** @default false */
            auto_recovery_enabled: boolean;
            /** @default 300 */
            recovery_delay_seconds: number;
            /** @default true */
            gradual_recovery: boolean;
            /**
             * @default [
             *       10,
             *       25,
             *       50,
             *       100
             *     ]
             */
            recovery_percentage_steps: number[];
            /**
             * @description How long each step is watched.
             * @default 60
             */
            recovery_step_seconds: number;
            notification_channels?: string[];
            tags?: string[];
            /** @description RFC 3339, UTC. */
            created_at?: string | null;
            /** @description RFC 3339, UTC. */
            updated_at?: string | null;
            created_by?: string | null;
            /** @description Whether it kills, and what it did; written by flaggate alone. */
            status?: Record<string, never>;
        };
        /** @description What a kill, or its end, did. `revision` to `ms` are there when it waited for gateways. */
        Killed: {
            /** @constant */
            success?: true;
            /** @constant */
            dry_run?: true;
            kill_switch_id?: string;
            /** @description Whether it was not so already. */
            changed?: boolean;
            /** @enum {unknown} */
            state?: "inactive" | "triggered" | "recovering";
            /** @description What the switch is about: `flag_count`, up to 100 `flags`, `services`, `region`, `segments`. */
            kills?: Record<string, never>;
            lifted?: string[];
            /** @description For each flag that was named the other switches that kill it. */
            still_killed_by?: Record<string, never>;
            revision?: number;
            /** @description How many live gateways serve it. */
            acknowledged?: number;
            /** @description How many there are. */
            of?: number;
            /** @description How long that took, in milliseconds. */
            ms?: number;
        };
        /** @description What was killed, as `/kill` was told; or `ids`; or `everything`. */
        Lift: {
            flags?: string[];
            tags?: string[];
            services?: string[];
            service?: string;
            segments?: string[];
            region?: string;
            all?: boolean;
            exempt_critical?: boolean;
            ids?: string[];
            everything?: boolean;
            reason?: string;
            /**
             * @description In the steps of the switch's recovery.
             * @default false
             */
            gradually: boolean;
        };
        Memberships: {
            user_id: string;
            segments: string[];
            /** @description For each segment why or why not, if that was asked for. */
            details?: Record<string, never>[];
            /**
             * @description Something lacked, and what is stored of the user could not be had.
             * @constant
             */
            profile_unavailable?: true;
        };
        /** @description A deployment that is to be created. */
        NewDeployment: components["schemas"]["Deployment"] & unknown;
        /** @description A flag that is to be created. */
        NewFlag: components["schemas"]["Flag"] & unknown;
        /** @description A kill switch that is to be created. */
        NewKillSwitch: components["schemas"]["KillSwitch"] & unknown;
        /** @description What `GET` shows can be sent back: `segment_memberships`, `last_updated` and `activity` say nothing here. */
        NewProfile: {
            /** @description As in the path, where there is one. */
            user_id?: string;
            attributes?: Record<string, never>;
            behavioral_data?: {
                [key: string]: number | null;
            };
            segment_memberships?: unknown;
            last_updated?: unknown;
            activity?: unknown;
        };
        /** @description A segment that is to be created. */
        NewSegment: components["schemas"]["Segment"] & unknown;
        /** @description Every flag for one context, and where changes are told. */
        OfrepBulk: {
            flags: components["schemas"]["OfrepFlag"][];
            eventStreams: components["schemas"]["OfrepEventStream"][];
            metadata: components["schemas"]["OfrepSetMetadata"];
        };
        /** @description The way to a stream, from the origin that the client knows. */
        OfrepEndpoint: {
            requestUri: string;
        };
        /**
         * @description Why an evaluation fails, in OpenFeature's words.
         * @enum {string}
         */
        OfrepErrorCode: "PARSE_ERROR" | "TARGETING_KEY_MISSING" | "INVALID_CONTEXT" | "FLAG_NOT_FOUND" | "GENERAL";
        /** @description What an event says. */
        OfrepEvent: {
            type: string;
            /** @description Stands for the flags that are served now. */
            etag: string;
            /**
             * Format: int64
             * @description Since when they are, in seconds since 1970.
             */
            lastModified?: number;
        };
        /** @description Where changes are told. */
        OfrepEventStream: {
            type: string;
            endpoint: components["schemas"]["OfrepEndpoint"];
            /**
             * Format: int32
             * @description A client that nobody looks at closes its connection after so many seconds.
             */
            inactivityDelaySec: number;
        };
        /** @description One evaluation that failed, by itself or among others. */
        OfrepFailure: {
            /** @description The flag's key; absent where the request was for all flags. */
            key?: string;
            errorCode: components["schemas"]["OfrepErrorCode"];
            /** @description What is wrong, for people. */
            errorDetails: string;
        };
        /** @description One flag of many: its value, or why there is none. */
        OfrepFlag: components["schemas"]["OfrepSuccess"] | components["schemas"]["OfrepFailure"];
        /** @description What else there is to say of an evaluation; never null. */
        OfrepMetadata: {
            /** @description flaggate's own reason. */
            flaggate_reason: string;
            /** @description What qualifies it. */
            flaggate_detail?: string;
        };
        /**
         * @description What decided, in OpenFeature's words.
         * @enum {string}
         */
        OfrepReason: "STATIC" | "TARGETING_MATCH" | "SPLIT" | "DEFAULT" | "DISABLED";
        /** @description What there is to say of all flags together. */
        OfrepSetMetadata: {
            /** @description The revision of the flags. */
            flaggate_revision: string;
            /** @description `profile_unavailable`: what is stored of the user could not be had. */
            flaggate_detail?: string;
        };
        /** @description One evaluation that gave a value. */
        OfrepSuccess: {
            key: string;
            /** @description Absent if the flag gives null: the client then takes the default of its own code. */
            value?: unknown;
            reason: components["schemas"]["OfrepReason"];
            variant: string;
            metadata: components["schemas"]["OfrepMetadata"];
        };
        Overlap: {
            sample: number;
            total: number;
            segments: {
                id: string;
                members: number;
            }[];
            pairs: {
                a: string;
                b: string;
                both: number;
                /** @description In percent of those in a; null: nobody is. */
                of_a: number | null;
                /** @description In percent of those in b; null: nobody is. */
                of_b: number | null;
                jaccard: number | null;
            }[];
        };
        /** @description A problem (RFC 9457). */
        Problem: {
            type: string;
            title: string;
            status: number;
            detail: string;
            /** @description For wrong input: each place, as a JSON pointer. */
            errors?: {
                pointer?: string;
                message?: string;
            }[];
        };
        /** @description All that is stored of a user. */
        Profile: {
            user_id: string;
            /** @description What is known of the user. */
            attributes: Record<string, never>;
            /** @description What was counted of the user's behaviour: numbers, unless something else wrote it. */
            behavioral_data: Record<string, never>;
            /** @description The segments that the user was in when that was last worked out. */
            segment_memberships: string[];
            /**
             * Format: date-time
             * @description When attributes or behavioral data were last written.
             */
            last_updated: string | null;
            /** @description What the user is doing now. */
            activity: Record<string, never> | null;
        };
        ProfilePage: {
            profiles: components["schemas"]["Profile"][];
            next: string | null;
            total: {
                number: number;
                exact: boolean;
            } | null;
        };
        Recompute: {
            segment_id: string;
            /** @enum {string} */
            state: "running" | "finished" | "stopped" | "failed";
            done: number;
            total: number;
            members: number;
            entered: number;
            left: number;
            /** Format: date-time */
            started_at: string;
            resume: string | null;
            error?: string;
        };
        RecomputeRequest: {
            /**
             * @description Profiles a second.
             * @default 10000
             */
            rate: number;
            /** @description `resume` of a run that ended early. */
            resume?: string | null;
        };
        /** @description Why a request was not done: a sentence, or for wrong input each place (`loc`) with what is wrong there. */
        Refusal: {
            detail: string | {
                loc: unknown[];
                msg: string;
                type: string;
                ctx?: unknown;
            }[];
        };
        /** @description A segment: a user is a member if each parent holds, no exclusion does, and what its type asks for. Fields that are absent have the default. */
        Segment: {
            /** @description Names the segment. It cannot change. */
            id: string;
            name?: string | null;
            description?: string | null;
            /**
             * @default rule_based
             * @enum {unknown}
             */
            type: "rule_based" | "composite" | "dynamic" | "ml_based";
            /** @description All must hold; with min_score, enough of them. */
            rules?: components["schemas"]["SegmentRule"][];
            /** @description Segments of which the user must be a member, too. */
            parent_segments?: string[];
            /** @description Segments of which the user must not be a member. */
            exclusion_segments?: string[];
            /** @description The model that an ml_based segment asks. */
            ml_model_id?: string | null;
            feature_columns?: string[];
            /** @description RFC 3339, UTC. */
            created_at?: string | null;
            /** @description RFC 3339, UTC. */
            updated_at?: string | null;
            /** @description How many members it was estimated to have. */
            estimated_size?: number;
            /** @description When that was estimated. */
            last_computed?: string | null;
            /**
             * @description Kept for other programs; membership is decided anew for each request.
             * @default 300
             */
            cache_ttl_seconds: number;
            /**
             * @description Orders lists, highest first; never changes who is a member.
             * @default 0
             */
            priority: number;
            /** @description How a composite segment is made of others: `a AND (b OR c) AND NOT d`. */
            expression?: string;
            /** @description The weights of the rules that hold must sum to at least this. */
            min_score?: number;
            /** @description The least probability, for a model that says one; 0.5 unless given. */
            threshold?: number;
            /** @description The clusters that count, for a model that says one. */
            clusters?: number[];
            tags?: string[];
            created_by?: string | null;
            updated_by?: string | null;
        };
        Track: components["schemas"]["Action"] | components["schemas"]["Action"][] | {
            events: components["schemas"]["Action"][];
        };
        /** @description What a write did, or with `dry_run` what it would do. */
        Written: {
            /** @constant */
            success: true;
            flag_key?: string;
            segment_id?: string;
            kill_switch_id?: string;
            /** @description The number of the world's revision. */
            revision?: number;
            /** @description How many live gateways serve it. */
            acknowledged?: number;
            /** @description How many there are. */
            of?: number;
            /** @description How long that took, in milliseconds. */
            ms?: number;
        } | {
            /** @constant */
            dry_run: true;
            flag_key?: string;
            segment_id?: string;
            kill_switch_id?: string;
            /** @enum {unknown} */
            action: "none" | "created" | "updated" | "deleted";
            /** @description The fields that would change. */
            changes: unknown[];
            document: Record<string, never> | null;
        };
        WrittenProfile: {
            /** @constant */
            success: true;
            user_id: string;
            /** Format: date-time */
            last_updated: string;
        };
        /** @description Matches a user by one attribute, by conditions or by segments, and gives a value, a variant or a split. */
        Rule: {
            id?: string;
            description?: string;
            attribute?: string;
            operator?: components["schemas"]["Operator"];
            value?: unknown;
            negate?: boolean;
            ignore_case?: boolean;
            /** @description `all`, `any` or `none` of an array of conditions or groups, at most 8 deep. */
            conditions?: Record<string, never>;
            segments?: string[];
            return_value?: unknown;
            variant?: string;
            percentage?: number;
            split?: components["schemas"]["Split"];
            bucket_by?: string;
            salt?: string;
        };
        /** @enum {unknown} */
        Operator: "equals" | "not_equals" | "contains" | "not_contains" | "in" | "not_in" | "greater_than" | "less_than" | "regex" | "gte" | "lte" | "between" | "starts_with" | "ends_with" | "exists" | "semver_eq" | "semver_gt" | "semver_gte" | "semver_lt" | "semver_lte" | "before" | "after" | "in_cidr" | "segment" | "any_of" | "all_of";
        Stage: {
            percentage?: number;
            value?: unknown;
            start_time?: string | null;
            end_time?: string | null;
        };
        /** @description Variants and their shares in basis points, 10 000 together. */
        Split: {
            variant: string;
            weight: number;
        }[];
        /** @description Asks one attribute of the user. A missing one fails the rule. */
        SegmentRule: {
            /** @description The attribute; `activity.…` for what the user is doing now. */
            field: string;
            operator: components["schemas"]["Operator"];
            value?: unknown;
            /**
             * @description What it counts towards min_score.
             * @default 1
             */
            weight: number | null;
            negate?: boolean;
            ignore_case?: boolean;
            description?: string;
        };
        /** @description How far it is; written by flaggate alone. */
        DeploymentStatus: {
            /** @enum {unknown} */
            state?: "pending" | "in_progress" | "validating" | "paused" | "completed" | "failed" | "rolling_back" | "rolled_back";
            reason?: string;
            /** @description What it waits for, in words. */
            waiting_on?: string[];
            /** @description Which run it is. */
            epoch?: number;
            stages?: Record<string, never>[];
            /** @description What flags were before they were touched. */
            stable?: Record<string, never>;
            /** @description Earlier runs. */
            epochs?: Record<string, never>[];
            /** @description What people are still to be told, each with its `id`. */
            news?: Record<string, never>[];
        };
        /** @description What a user did. */
        Action: {
            user_id: string;
            /** @description A word of the application's own. */
            event: string;
            /** @description How much it is worth. */
            value?: number | null;
            /** @description What goes on with the event: 8 KiB of JSON at most. */
            properties?: Record<string, never> | null;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
};
export type $defs = Record<string, never>;
export interface operations {
    openapi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OpenAPI 3.1 */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    healthz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it does */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
    readyz: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it should */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
    diagnostics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `documents`: faults by document; `store`: how it is followed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the metrics */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
    gateways: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the revision of the store, and who serves what */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    reseed: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the new revision, and how many documents were written */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    who: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description name and role; for a session also `csrf` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "name": "me",
                     *       "role": "editor"
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    log_in: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "flaggate_…"
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description logged in */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "name": "me",
                     *       "role": "editor",
                     *       "csrf": "5f2c…",
                     *       "expires_at": "2026-01-01T12:00:00Z"
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    log_out: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the cookie is gone */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    get_flags: {
        parameters: {
            query?: {
                /** @description only flags with one of these tags */
                tags?: string[];
                /** @description a page of so many */
                limit?: number;
                /** @description where the page begins, as `Link` says it */
                cursor?: string;
                /** @description only flags with this text in key, name or description */
                q?: string;
                /** @description only flags that are `on`, `off`, `stale` or `faulty` */
                state?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the flags; of a page `Link` tells the next, `X-Total-Count` how many there are */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Flag"][];
                };
            };
        };
    };
    post_flags: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "key": "new-checkout",
                 *       "name": "New checkout",
                 *       "rollout_enabled": true,
                 *       "rollout_percentage": 10
                 *     }
                 */
                "application/json": components["schemas"]["NewFlag"];
            };
        };
        responses: {
            /** @description created */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    get_flags_key: {
        parameters: {
            query?: never;
            header?: {
                /** @description entity tags that the caller has; 304 if it is one of them */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the flag; `ETag` names its state */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Flag"];
                };
            };
        };
    };
    put_flags_key: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
                /** @description `*`: only if there is no such flag */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "New checkout",
                 *       "enabled": true
                 *     }
                 */
                "application/json": components["schemas"]["Flag"];
            };
        };
        responses: {
            /** @description replaced, or as it was */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    delete_flags_key: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description removed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    patch_flags_key: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        /** @description the fields to change */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "rollout_percentage": 25
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description changed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    post_flags_evaluate: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "context": {
                 *         "user_id": "42"
                 *       },
                 *       "flag_keys": [
                 *         "new-checkout"
                 *       ]
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description by key: value, variation and reason, or an error */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    post_flags_key_evaluate: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user_id": "42",
                 *       "attributes": {
                 *         "plan": "pro"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["EvaluateRequest"];
            };
        };
        responses: {
            /** @description what the flag gives this user */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Evaluation"];
                };
            };
        };
    };
    stale: {
        parameters: {
            query?: {
                /** @description after how many days a flag counts as left alone; 30 unless given */
                days?: number;
                /** @description the report, even if there is a flag called `stale` */
                report?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `flags`: each with its reasons */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    post_flags_key_rollback: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "revision": 3
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description it is as it was then */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description it was gone and is back */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    preview: {
        parameters: {
            query?: {
                /** @description at most so many examples, 100 at most; 10 unless given */
                examples?: number;
            };
            header?: never;
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        /** @description `{document: {…}}` or `{patch: {…}}` */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "patch": {
                 *         "rollout_percentage": 25
                 *       }
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description how many users would get something else, and what */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "flag_key": "new-checkout",
                     *       "revision": "0198c0f4:7",
                     *       "users": 10000,
                     *       "requests": 48211,
                     *       "changed_users": 412,
                     *       "changed_requests": 2003,
                     *       "changes": [
                     *         {
                     *           "from": {
                     *             "variation": "false",
                     *             "value": false
                     *           },
                     *           "to": {
                     *             "variation": "true",
                     *             "value": true
                     *           },
                     *           "users": 412,
                     *           "requests": 2003
                     *         }
                     *       ],
                     *       "more_changes": 0,
                     *       "examples": [
                     *         {
                     *           "user_id": "ann",
                     *           "seen_at": "2026-01-02T03:04:05Z",
                     *           "from": {
                     *             "variation": "false",
                     *             "reason": "default"
                     *           },
                     *           "to": {
                     *             "variation": "true",
                     *             "reason": "rollout"
                     *           }
                     *         }
                     *       ],
                     *       "affected_flags": [
                     *         {
                     *           "key": "express-checkout",
                     *           "users": 97
                     *         }
                     *       ],
                     *       "affected_flags_not_tried": 0,
                     *       "seen": {
                     *         "from": "2026-01-02T02:51:10Z",
                     *         "to": "2026-01-02T03:04:05Z"
                     *       },
                     *       "requests_passed_over": 1204,
                     *       "profiles": "cached",
                     *       "users_without_profile": 12,
                     *       "remembers": true
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    post_flags_key_explain: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user_id": "42",
                 *       "attributes": {
                 *         "plan": "pro"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["EvaluateRequest"];
            };
        };
        responses: {
            /** @description value, variation, reason and `steps` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "key": "new-search",
                     *       "value": false,
                     *       "variation": "false",
                     *       "reason": "default",
                     *       "detail": null,
                     *       "prerequisites_met": true,
                     *       "steps": [
                     *         {
                     *           "step": "bucket",
                     *           "bucket": {
                     *             "of": "user_id",
                     *             "salt": "new-search",
                     *             "hash": "md5",
                     *             "value": 48.12
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    get_segments: {
        parameters: {
            query?: {
                /** @description only segments of this type: `rule_based`, `composite`, `dynamic` or `ml_based` */
                type?: string;
                /** @description only segments with this text in id, name, description or tags */
                q?: string;
                /** @description only segments with one of these tags */
                tag?: string[];
                /** @description a page of so many */
                limit?: number;
                /** @description where the page begins, as `Link` says it */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the segments; `Link` tells the next page, `X-Total-Count` how many there are */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Segment"][];
                };
            };
        };
    };
    post_segments: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "id": "big_spenders",
                 *       "name": "Big spenders",
                 *       "rules": [
                 *         {
                 *           "field": "lifetime_value",
                 *           "operator": "greater_than",
                 *           "value": 500
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["NewSegment"];
            };
        };
        responses: {
            /** @description what would be done, with `dry_run` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description created; `ETag` names its state */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    get_segments_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description entity tags that the caller has; 304 if it is one of them */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the segment; `ETag` names its state */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Segment"];
                };
            };
        };
    };
    put_segments_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
                /** @description `*`: only if there is no such segment */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Phones",
                 *       "type": "composite",
                 *       "expression": "ios OR android"
                 *     }
                 */
                "application/json": components["schemas"]["Segment"];
            };
        };
        responses: {
            /** @description replaced, or as it was */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    delete_segments_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description removed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    patch_segments_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        /** @description the fields to change */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "priority": 20
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description changed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    get_segments_id_history: {
        parameters: {
            query?: {
                /** @description at most so many entries */
                limit?: number;
                /** @description `next` of the page before */
                cursor?: string;
                /** @description with the whole documents, not only what changed */
                full?: boolean;
            };
            header?: never;
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `entries`: who changed what when; `next`: the cursor of the next page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    post_segments_id_rollback: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "revision": 3
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description it is as it was then */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description it was gone and is back */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    post_segments_evaluate: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user_id": "42",
                 *       "attributes": {
                 *         "platform": "ios"
                 *       },
                 *       "segments": [
                 *         "phones"
                 *       ],
                 *       "explain": true
                 *     }
                 */
                "application/json": components["schemas"]["EvaluateSegments"];
            };
        };
        responses: {
            /** @description `segments`: the ids, those of the highest priority first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Memberships"];
                };
            };
        };
    };
    segments: {
        parameters: {
            query?: {
                /** @description `details` says for each segment why or why not */
                explain?: boolean;
            };
            header?: never;
            path: {
                /** @description the user's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `segments`: the ids, those of the highest priority first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Memberships"];
                };
            };
        };
    };
    get_kill_switches: {
        parameters: {
            query?: {
                /** @description only switches that are `inactive`, `triggered` or `recovering`; `active` are the latter two */
                state?: string;
                /** @description only switches of this scope */
                scope?: string;
                /** @description only switches with one of these tags */
                tag?: string[];
                /** @description a page of so many */
                limit?: number;
                /** @description where the page begins, as `Link` says it */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the kill switches; `Link` tells the next page, `X-Total-Count` how many there are */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["KillSwitch"][];
                };
            };
        };
    };
    post_kill_switches: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "id": "checkout",
                 *       "name": "Checkout",
                 *       "affected_features": [
                 *         "new-checkout",
                 *         "tag:checkout"
                 *       ],
                 *       "auto_trigger_enabled": true,
                 *       "error_threshold": 10
                 *     }
                 */
                "application/json": components["schemas"]["NewKillSwitch"];
            };
        };
        responses: {
            /** @description what would be done, with `dry_run` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description created; `ETag` names its state */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    get_kill_switches_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description entity tags that are known */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the kill switch's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the document; `ETag` names its state */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["KillSwitch"];
                };
            };
        };
    };
    put_kill_switches_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
                /** @description `*`: only if there is no such kill switch */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the kill switch's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "Europe",
                 *       "scope": "region",
                 *       "scope_value": "eu-west-1",
                 *       "exempt_critical": true
                 *     }
                 */
                "application/json": components["schemas"]["KillSwitch"];
            };
        };
        responses: {
            /** @description replaced, or as it was */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    delete_kill_switches_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the kill switch's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description removed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    patch_kill_switches_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the kill switch's id */
                id: string;
            };
            cookie?: never;
        };
        /** @description the fields to change */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "error_threshold": 5
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description changed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    activate: {
        parameters: {
            query?: {
                /** @description `all`, which is the default, or a number: answer once so many live gateways serve it, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be killed */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the kill switch's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "reason": "errors in the checkout"
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description all live gateways serve it, or as many as were asked for */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
        };
    };
    deactivate: {
        parameters: {
            query?: {
                /** @description `all`, which is the default, or a number: answer once so many live gateways serve it, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be killed */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the kill switch's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "reason": "mended",
                 *       "gradually": true
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description all live gateways serve it, or as many as were asked for */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
        };
    };
    get_kill_switches_id_history: {
        parameters: {
            query?: {
                /** @description at most so many entries */
                limit?: number;
                /** @description `next` of the page before */
                cursor?: string;
                /** @description with the whole documents, not only what changed */
                full?: boolean;
            };
            header?: never;
            path: {
                /** @description the kill switch's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `activations`: the latest 20, each with who did it, why, for how long, and what is known of errors; `entries`: who changed the document when; `next`: the cursor of the next page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    kill: {
        parameters: {
            query?: {
                /** @description `all`, which is the default, or a number: answer once so many live gateways serve it, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be killed */
                dry_run?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "flags": [
                 *         "new-checkout"
                 *       ],
                 *       "reason": "errors in the checkout"
                 *     }
                 */
                "application/json": components["schemas"]["Kill"];
            };
        };
        responses: {
            /** @description all live gateways serve it, or as many as were asked for */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
        };
    };
    lift: {
        parameters: {
            query?: {
                /** @description `all`, which is the default, or a number: answer once so many live gateways serve it, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be killed */
                dry_run?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "flags": [
                 *         "new-checkout"
                 *       ],
                 *       "reason": "mended"
                 *     }
                 */
                "application/json": components["schemas"]["Lift"];
            };
        };
        responses: {
            /** @description all live gateways serve it, or as many as were asked for */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Killed"];
                };
            };
        };
    };
    get_deployments: {
        parameters: {
            query?: {
                /** @description only deployments in one of these states; `live`: those that were started and have not ended */
                state?: string[];
                /** @description a page of so many */
                limit?: number;
                /** @description where the page begins, as `Link` says it */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the deployments; `Link` tells the next page, `X-Total-Count` how many there are */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Deployment"][];
                };
            };
        };
    };
    post_deployments: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "id": "checkout-2",
                 *       "name": "New checkout",
                 *       "version": "2.0.0",
                 *       "stages": [
                 *         {
                 *           "name": "enable",
                 *           "strategy": "feature_flag",
                 *           "config": {
                 *             "flag_key": "new-checkout",
                 *             "rollout_stages": [
                 *               {
                 *                 "percentage": 5,
                 *                 "duration": "1h"
                 *               },
                 *               {
                 *                 "percentage": 100
                 *               }
                 *             ]
                 *           }
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["NewDeployment"];
            };
        };
        responses: {
            /** @description what would be done, with `dry_run` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description created; `ETag` names its state */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    get_deployments_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description the `ETag` of what the client has */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the whole document; `ETag` names its state */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Deployment"];
                };
            };
        };
    };
    put_deployments_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
                /** @description `*`: only if there is no such deployment */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "name": "New checkout",
                 *       "version": "2.0.1",
                 *       "stages": [
                 *         {
                 *           "name": "enable",
                 *           "strategy": "feature_flag",
                 *           "config": {
                 *             "flag_key": "new-checkout",
                 *             "rollout_stages": [
                 *               {
                 *                 "percentage": 100
                 *               }
                 *             ]
                 *           }
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["Deployment"];
            };
        };
        responses: {
            /** @description replaced, or as it was */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    delete_deployments_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it is gone */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Written"];
                };
            };
        };
    };
    post_deployments_id_start: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    pause: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "reason": "errors in the checkout"
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    resume: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    promote: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    promote_full: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    abort: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "reason": "errors in the checkout"
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    retry: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    approve: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "approver": "product",
                 *       "stage": "enable"
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description done */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Conducted"];
                };
            };
        };
    };
    get_deployments_id_history: {
        parameters: {
            query?: {
                /** @description at most so many entries */
                limit?: number;
                /** @description `next` of the page before */
                cursor?: string;
                /** @description with the whole documents, not only what changed */
                full?: boolean;
            };
            header?: never;
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `entries`: who changed what when; `next`: the cursor of the next page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    export: {
        parameters: {
            query?: {
                /**
                 * @description `json` (unless said otherwise) or `yaml`
                 * @example yaml
                 */
                format?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description all flags, segments and models; `damaged` names stored documents that cannot be read */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "flags": [
                     *         {
                     *           "key": "new-search",
                     *           "name": "New search"
                     *         }
                     *       ],
                     *       "segments": [],
                     *       "models": []
                     *     }
                     */
                    "application/json": unknown;
                    "application/yaml": unknown;
                };
            };
        };
    };
    import: {
        parameters: {
            query?: {
                /**
                 * @description `merge` (unless said otherwise) leaves other documents alone; `replace` deletes them, which takes the role admin
                 * @example merge
                 */
                mode?: string;
                /**
                 * @description `auto` (unless said otherwise), `flaggate`, `flagd`, `unleash` or `growthbook`
                 * @example auto
                 */
                format?: string;
                /** @description only say what would be done */
                dry_run?: boolean;
                /** @description `all`, or how many gateways the answer waits for */
                wait?: string;
                /** @description for how many seconds, at most 25 */
                timeout?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description definitions, in JSON or YAML; at most 16 MiB */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "flags": [
                 *         {
                 *           "key": "new-search",
                 *           "name": "New search"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": unknown;
                "application/yaml": string;
            };
        };
        responses: {
            /** @description the plan, carried out unless `dry_run` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "format": "flaggate",
                     *       "mode": "merge",
                     *       "dry_run": false,
                     *       "counts": {
                     *         "created": 1,
                     *         "updated": 0,
                     *         "unchanged": 0,
                     *         "deleted": 0
                     *       },
                     *       "flags": [
                     *         {
                     *           "key": "new-search",
                     *           "action": "created"
                     *         }
                     *       ],
                     *       "segments": [],
                     *       "models": [],
                     *       "report": []
                     *     }
                     */
                    "application/json": unknown;
                };
            };
            /** @description done, but not all gateways that were waited for serve it yet */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    traffic: {
        parameters: {
            query?: {
                /** @description how many seconds to look back, 1 to 900; 60 unless given */
                seconds?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `arms`: each with its figures; `gateways`: who counted */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "from": "2026-11-25T10:00:00Z",
                     *       "to": "2026-11-25T10:01:00Z",
                     *       "seconds": 60,
                     *       "gateways": [
                     *         {
                     *           "id": "0198c0de-0000-7000-8000-000000000001",
                     *           "last_seen": "2026-11-25T10:01:00.2Z"
                     *         }
                     *       ],
                     *       "arms": [
                     *         {
                     *           "route": "checkout",
                     *           "strategy": "canary",
                     *           "upstream": "checkout-v2",
                     *           "requests": 900,
                     *           "requests_per_second": 15,
                     *           "errors": 9,
                     *           "error_rate": 0.01,
                     *           "p50_ms": 4.2,
                     *           "p95_ms": 9.7,
                     *           "p99_ms": 18.4,
                     *           "users": 120,
                     *           "users_with_error": 7
                     *         },
                     *         {
                     *           "flag": "checkout-canary",
                     *           "variation": "true",
                     *           "requests": 900,
                     *           "requests_per_second": 15,
                     *           "errors": 9,
                     *           "error_rate": 0.01,
                     *           "p50_ms": 4.2,
                     *           "p95_ms": 9.7,
                     *           "p99_ms": 18.4,
                     *           "users": 120,
                     *           "users_with_error": 7
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    tail: {
        parameters: {
            query?: {
                /** @description requests of this route only */
                route?: string;
                /** @description requests for which this flag was evaluated only */
                flag?: string;
                /** @description requests of this user only; for the role editor */
                user?: string;
                /** @description only requests that failed */
                errors?: boolean;
                /** @description how many in one second at most, 1 to 1000; 100 unless given */
                rate?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description events, without end */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example event: decision
                     *     data: {"time":"2026-01-02T03:04:05.678Z","request_id":"0198c0f4-…","method":"GET","path":"/checkout","status":200,"error":null,"route":"shop","strategy":"canary","upstream":"next","endpoint":"10.0.0.7:80","revision":7,"flags":[{"flag":"new-checkout","variation":"true","reason":"rollout"}],"duration_ms":4.2,"upstream_ms":3.9}
                     */
                    "text/event-stream": string;
                };
            };
        };
    };
    track: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user_id": "42",
                 *       "event": "purchase",
                 *       "value": 19.9,
                 *       "properties": {
                 *         "currency": "EUR"
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["Track"];
            };
        };
        responses: {
            /** @description taken; `accepted` says how many */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "accepted": 1
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    flag: {
        parameters: {
            query?: {
                /** @description When it begins: a time, or how long ago, like `1h` or `7d`; 24 h ago unless given, 30 days at most. */
                from?: string;
                /** @description When it ends; now unless given. */
                to?: string;
                /** @description The length of a step of the series, like `5m`; a whole number of minutes, of hours for what is older than a day. */
                step?: string;
                /** @description What the others are compared with; a flag's default variation, a route's strategy `default`, unless given. */
                control?: string;
            };
            header?: never;
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `variations`, each with its figures; `series` by step; `sample_ratio`; `attributions`: what was changed before errors or latency changed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "flag": "new-checkout",
                     *       "from": "2026-11-30T10:00:00Z",
                     *       "to": "2026-11-30T11:00:00Z",
                     *       "step": 60,
                     *       "control": "false",
                     *       "alpha": 0.05,
                     *       "evaluations": 20000,
                     *       "requests": 20000,
                     *       "participants": 9000,
                     *       "one_in": 1,
                     *       "crossed": 0,
                     *       "sample_ratio": {
                     *         "since": "2026-11-30T10:00:00Z",
                     *         "expected": {
                     *           "false": 0.5,
                     *           "true": 0.5
                     *         },
                     *         "counted": {
                     *           "false": 4490,
                     *           "true": 4510
                     *         },
                     *         "p_value": 1,
                     *         "is_mismatch": false
                     *       },
                     *       "variations": [
                     *         {
                     *           "name": "true",
                     *           "is_control": false,
                     *           "share": 0.5,
                     *           "requests": 10000,
                     *           "error_rate": 0.002,
                     *           "p95_ms": 41,
                     *           "users": 4500,
                     *           "metrics": {
                     *             "purchase": {
                     *               "converted": 540,
                     *               "rate": 0.12,
                     *               "rate_compared": {
                     *                 "lift": {
                     *                   "estimate": 0.18,
                     *                   "low": 0.02,
                     *                   "high": 0.34
                     *                 },
                     *                 "p_value": 0.011
                     *               }
                     *             }
                     *           }
                     *         }
                     *       ],
                     *       "series": [
                     *         {
                     *           "at": "2026-11-30T10:00:00Z",
                     *           "arms": {
                     *             "true": {
                     *               "requests": 160,
                     *               "errors": 0,
                     *               "p95_ms": 40
                     *             }
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    route: {
        parameters: {
            query?: {
                /** @description When it begins: a time, or how long ago, like `1h` or `7d`; 24 h ago unless given, 30 days at most. */
                from?: string;
                /** @description When it ends; now unless given. */
                to?: string;
                /** @description The length of a step of the series, like `5m`; a whole number of minutes, of hours for what is older than a day. */
                step?: string;
                /** @description What the others are compared with; a flag's default variation, a route's strategy `default`, unless given. */
                control?: string;
            };
            header?: never;
            path: {
                /** @description the route's name */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `ways`, each with its figures; `series` by step; `attributions` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    deployment: {
        parameters: {
            query?: {
                /** @description When it begins: a time, or how long ago, like `1h` or `7d`; 24 h ago unless given, 30 days at most. */
                from?: string;
                /** @description When it ends; now unless given. */
                to?: string;
                /** @description The length of a step of the series, like `5m`; a whole number of minutes, of hours for what is older than a day. */
                step?: string;
                /** @description What the others are compared with; a flag's default variation, a route's strategy `default`, unless given. */
                control?: string;
            };
            header?: never;
            path: {
                /** @description the deployment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `flags` and `routes`, as they are told by themselves; `stages` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    get_insights: {
        parameters: {
            query?: {
                /** @description only `critical`, or `warning` and `critical`; all unless given */
                severity?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `insights` and `attributions` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "as_of": "2026-11-30T12:00:00Z",
                     *       "insights": [
                     *         {
                     *           "rule": "worse_latency",
                     *           "severity": "warning",
                     *           "kind": "flag",
                     *           "name": "new-checkout",
                     *           "finding": "requests of \"true\" take 21 % longer than the control's (surely 14 % or more)",
                     *           "evidence": {},
                     *           "recommendation": "`flaggate analytics new-checkout` shows more; send fewer users to \"true\" until it is mended"
                     *         }
                     *       ],
                     *       "attributions": []
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    audit: {
        parameters: {
            query?: {
                /** @description at most so many entries */
                limit?: number;
                /** @description `next` of the page before */
                cursor?: string;
                /** @description with the whole documents, not only what changed */
                full?: boolean;
                /** @description only documents of this kind, like `flag` */
                kind?: string;
                /** @description only the document of this key */
                key?: string;
                /** @description only changes of this token */
                actor?: string;
                /** @description only `created`, `updated` or `deleted` */
                action?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `entries`: who changed what when; `next`: the cursor of the next page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    changes: {
        parameters: {
            query?: {
                /** @description how many entries, 1 to 1000; 50 unless given */
                limit?: number;
                /** @description where the page before ended: its `next` */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `entries`: who changed what when */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "entries": [
                     *         {
                     *           "kind": "flag",
                     *           "key": "theme",
                     *           "action": "updated",
                     *           "revision": 3,
                     *           "actor": "ann",
                     *           "at": "2026-11-30T12:00:00Z",
                     *           "fields": [
                     *             "split"
                     *           ]
                     *         }
                     *       ],
                     *       "next": null
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    get_flags_key_history: {
        parameters: {
            query?: {
                /** @description at most so many entries */
                limit?: number;
                /** @description `next` of the page before */
                cursor?: string;
                /** @description with the whole documents, not only what changed */
                full?: boolean;
            };
            header?: never;
            path: {
                /** @description the flag's key */
                key: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `entries`: who changed what when; `next`: the cursor of the next page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    get_profiles: {
        parameters: {
            query?: {
                /** @description about so many profiles, 1 to 1000; 100 unless given */
                limit?: number;
                /** @description `next` of the page before */
                cursor?: string;
                /** @description with how many there are */
                count?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `next` is the cursor of the next page, or null; `total` how many there are, counted or (`exact` false) estimated, or null */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProfilePage"];
                };
            };
        };
    };
    get_profiles_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the user's id: 1 to 256 bytes, no NUL */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the profile */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Profile"];
                };
            };
        };
    };
    put_profiles_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the user's id: 1 to 256 bytes, no NUL */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "attributes": {
                 *         "plan": "pro"
                 *       },
                 *       "behavioral_data": {
                 *         "purchase_count": 7
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["NewProfile"];
            };
        };
        responses: {
            /** @description replaced */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WrittenProfile"];
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WrittenProfile"];
                };
            };
        };
    };
    delete_profiles_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the user's id: 1 to 256 bytes, no NUL */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description forgotten */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    patch_profiles_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the user's id: 1 to 256 bytes, no NUL */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "attributes": {
                 *         "plan": "free",
                 *         "trial_ends": null
                 *       }
                 *     }
                 */
                "application/json": components["schemas"]["NewProfile"];
            };
        };
        responses: {
            /** @description changed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WrittenProfile"];
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WrittenProfile"];
                };
            };
        };
    };
    post_profiles_id_activity: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the user's id: 1 to 256 bytes, no NUL */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "current_page": "/checkout/pay",
                 *       "page_duration_seconds": 420,
                 *       "ttl_seconds": 900
                 *     }
                 */
                "application/json": components["schemas"]["Activity"];
            };
        };
        responses: {
            /** @description noted; `expires_at` says until when */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true,
                     *       "user_id": "ann",
                     *       "expires_at": "2026-01-02T03:19:05Z"
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    delete_profiles_id_activity: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the user's id: 1 to 256 bytes, no NUL */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description forgotten */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    batch: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description a profile on each line, of at most 64 KiB */
        requestBody: {
            content: {
                /**
                 * @example {"user_id":"ann","attributes":{"plan":"pro"},"behavioral_data":{"purchase_count":7}}
                 *     {"user_id":"bob","attributes":{"plan":"free"}}
                 */
                "application/x-ndjson": string;
            };
        };
        responses: {
            /** @description how it goes on, a JSON object on each line; the last one says how it ended */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {"done":10250,"failed":1,"rate":20502.0}
                     *     {"done":19999,"failed":1,"rate":20833.3,"seconds":0.96,"complete":true,"errors":[{"line":7,"message":"/behavioral_data/visits: behavioral data are numbers"}]}
                     */
                    "application/x-ndjson": string;
                };
            };
        };
    };
    get_models: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `revision`: that of its document; `serving`: whether this gateway can ask it, else `/diagnostics` says why not; `segments`: those that ask it */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "models": [
                     *         {
                     *           "id": "churn",
                     *           "revision": 3,
                     *           "serving": true,
                     *           "segments": [
                     *             "leaving"
                     *           ],
                     *           "kind": "logistic",
                     *           "feature_columns": [
                     *             "visits"
                     *           ],
                     *           "label": "churned",
                     *           "trained_at": "2026-01-02T03:04:05Z",
                     *           "report": {
                     *             "rows": 16000,
                     *             "auc": 0.81
                     *           }
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    get_models_id: {
        parameters: {
            query?: never;
            header?: {
                /** @description entity tags that the caller has; 304 if it is one of them */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the model's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the model; `ETag` names its state */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    put_models_id: {
        parameters: {
            query?: {
                /** @description with ONNX bytes: the attributes that are its inputs, in its order; repeated, or with commas */
                feature_columns?: string[];
                /** @description with ONNX bytes: what each feature is taken for where it is missing; repeated, or with commas; not needed if the network begins with a scaler or an imputer */
                mean?: number[];
                /** @description with ONNX bytes: the name of the output; that of the probabilities unless given */
                output?: string;
                /** @description with ONNX bytes: which of the probabilities, from 0; of two the second unless given */
                class?: number;
                /** @description with ONNX bytes: a name for people */
                name?: string;
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
                /** @description `*`: only if there is no such model */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the model's id */
                id: string;
            };
            cookie?: never;
        };
        /** @description a document, or an ONNX file of at most 700 KiB */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "kind": "logistic",
                 *       "feature_columns": [
                 *         "visits"
                 *       ],
                 *       "scaler": {
                 *         "mean": [
                 *           5
                 *         ],
                 *         "scale": [
                 *           2
                 *         ]
                 *       },
                 *       "coefficients": [
                 *         -0.7
                 *       ],
                 *       "intercept": 0.1
                 *     }
                 */
                "application/json": unknown;
                "application/octet-stream": number[];
            };
        };
        responses: {
            /** @description replaced */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "success": true,
                     *       "model_id": "churn"
                     *     }
                     */
                    "application/json": unknown;
                };
            };
            /** @description created */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    delete_models_id: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the model's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description removed */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
            /** @description removed, and not yet by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    train: {
        parameters: {
            query?: {
                /** @description says nothing here */
                wait?: string;
                /** @description says nothing here */
                timeout?: number;
                /** @description train and report, but write nothing */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
                /** @description `*`: only if there is no such model */
                "If-None-Match"?: string | null;
            };
            path: {
                /** @description the model's id, new or not */
                id: string;
            };
            cookie?: never;
        };
        /** @description `kind`, `feature_columns`; of `kmeans` `k` (2 to 64) and `restarts` (10); of `logistic` `label` and `alpha` (1; scikit-learn's C is 1/alpha); `encodings` of strings, `sample` (20000 rows), `seed` (0), `name` */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "kind": "logistic",
                 *       "feature_columns": [
                 *         "visits",
                 *         "plan"
                 *       ],
                 *       "encodings": {
                 *         "plan": {
                 *           "free": 0,
                 *           "pro": 1
                 *         }
                 *       },
                 *       "label": "churned"
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description how it goes on, a JSON object on each line; the last one says how it ended */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {"step":"reading","done":12000}
                     *     {"step":"training","done":3,"of":10}
                     *     {"complete":true,"id":"churn","revision":4,"report":{"seen":20000,"rows":16000,"auc":0.78}}
                     */
                    "application/x-ndjson": string;
                };
            };
        };
    };
    predict: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the model's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user_id": "ann",
                 *       "attributes": {
                 *         "visits": 7
                 *       }
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description a `probability`, or the number of a `cluster` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "churn",
                     *       "kind": "probability",
                     *       "probability": 0.8,
                     *       "features": {
                     *         "visits": 7,
                     *         "basket": null
                     *       }
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    get_models_id_history: {
        parameters: {
            query?: {
                /** @description at most so many entries */
                limit?: number;
                /** @description `next` of the page before */
                cursor?: string;
                /** @description with the whole documents, not only what changed */
                full?: boolean;
            };
            header?: never;
            path: {
                /** @description the model's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `entries`: who changed what when; `next`: the cursor of the next page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    post_models_id_rollback: {
        parameters: {
            query?: {
                /** @description `all` or a number: answer once so many live gateways serve the change, 202 if they do not in time */
                wait?: string;
                /** @description for how many seconds to wait, 25 at most; 2 unless given */
                timeout?: number;
                /** @description only say what would be done */
                dry_run?: boolean;
            };
            header?: {
                /** @description only if it still has one of these entity tags */
                "If-Match"?: string | null;
            };
            path: {
                /** @description the model's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "revision": 3
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description it is as it was then */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
            /** @description it was gone and is back */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
            /** @description written, and not yet served by all who were waited for */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": unknown;
                };
            };
        };
    };
    estimate: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "sample": 2000
                 *     }
                 */
                "application/json": components["schemas"]["EstimateRequest"];
            };
        };
        responses: {
            /** @description how many, and how sure that is */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "segment_id": "high_value_users",
                     *       "matches": 412,
                     *       "sample": 2000,
                     *       "total": 81234,
                     *       "estimate": 16734,
                     *       "low": 15351,
                     *       "high": 18211,
                     *       "confidence": 0.95
                     *     }
                     */
                    "application/json": components["schemas"]["Estimate"];
                };
            };
        };
    };
    overlap: {
        parameters: {
            query?: {
                /**
                 * @description the segments, separated by commas; all unless given, at most 100
                 * @example [
                 *       "a",
                 *       "b"
                 *     ]
                 */
                ids?: string[];
                /** @description how many users are drawn, 1 to 100000; 2000 unless given */
                sample?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description each segment, and each two of them */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "sample": 2000,
                     *       "total": 81234,
                     *       "segments": [
                     *         {
                     *           "id": "a",
                     *           "members": 400
                     *         },
                     *         {
                     *           "id": "b",
                     *           "members": 100
                     *         }
                     *       ],
                     *       "pairs": [
                     *         {
                     *           "a": "a",
                     *           "b": "b",
                     *           "both": 50,
                     *           "of_a": 12.5,
                     *           "of_b": 50,
                     *           "jaccard": 0.1111
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Overlap"];
                };
            };
        };
    };
    progress: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the last run */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Recompute"];
                };
            };
        };
    };
    post_segments_id_recompute: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "rate": 10000
                 *     }
                 */
                "application/json": components["schemas"]["RecomputeRequest"];
            };
        };
        responses: {
            /** @description it begins */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Recompute"];
                };
            };
        };
    };
    stop: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the segment's id */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it stops after the profiles that it is at */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Recompute"];
                };
            };
        };
    };
    post_explain: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description `{method?, host?, path, headers?: {name: value or [values]}, client_ip?, listener?}` */
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "method": "GET",
                 *       "host": "shop.example",
                 *       "path": "/cart?step=2",
                 *       "headers": {
                 *         "X-User-Id": "ann"
                 *       }
                 *     }
                 */
                "application/json": Record<string, never>;
            };
        };
        responses: {
            /** @description What would become of it. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "revision": "0198c0f4:7",
                     *       "listener": "web",
                     *       "route": "shop",
                     *       "peer": {
                     *         "address": "127.0.0.1",
                     *         "client": "127.0.0.1",
                     *         "trusted": true
                     *       },
                     *       "decision": {
                     *         "strategy": "canary",
                     *         "upstream": "v2-canary",
                     *         "fell_back": false,
                     *         "available": true,
                     *         "mirrored": false
                     *       },
                     *       "strategies": [
                     *         {
                     *           "strategy": "canary",
                     *           "flag": "checkout-canary",
                     *           "variation": "true",
                     *           "upstream": "v2-canary",
                     *           "result": "taken"
                     *         }
                     *       ],
                     *       "context": {
                     *         "user_id": "ann",
                     *         "drawn": false,
                     *         "attributes": {
                     *           "request.path": "/cart"
                     *         },
                     *         "profile": "not_asked_for"
                     *       },
                     *       "flags": [
                     *         {
                     *           "key": "checkout-canary",
                     *           "value": true,
                     *           "variation": "true",
                     *           "reason": "rollout",
                     *           "detail": null,
                     *           "prerequisites_met": true,
                     *           "steps": [],
                     *           "evaluated": true
                     *         }
                     *       ],
                     *       "forwarded": {
                     *         "method": "GET",
                     *         "host": "shop.example",
                     *         "path": "/cart?step=2",
                     *         "headers": {
                     *           "x-user-id": "ann"
                     *         }
                     *       }
                     *     }
                     */
                    "application/json": Record<string, never>;
                };
            };
        };
    };
    reload: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What changed. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "changed": true,
                     *       "needs_restart": [
                     *         "admin"
                     *       ],
                     *       "at": "2026-12-01T10:00:00Z"
                     *     }
                     */
                    "application/json": Record<string, never>;
                };
            };
        };
    };
    ws: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The connection is a WebSocket now. */
            101: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    events: {
        parameters: {
            query?: {
                /**
                 * @description The kinds to hear of, `flags` and `segments`; `flags` unless given.
                 * @example [
                 *       "flags"
                 *     ]
                 */
                subscribe?: string[];
                /** @description Only changes of these; all unless given. At most 1 000. */
                keys?: string[];
            };
            header?: {
                /** @description The id of the last event that was seen. */
                "Last-Event-ID"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events, without end. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example id: 0198c0f4:7
                     *     event: flag_update
                     *     data: {"type":"flag_update","flag_key":"a","action":"updated","timestamp":"2026-01-02T03:04:05.000000Z","revision":"0198c0f4:7"}
                     */
                    "text/event-stream": string;
                };
            };
        };
    };
    ofrepEvaluateFlag: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The flag's key */
                key: string;
            };
            cookie?: never;
        };
        /** @description The evaluation context: the user's id as `targetingKey`, and attributes */
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "context": {
                 *         "targetingKey": "user-123",
                 *         "plan": "premium",
                 *         "country": "CA"
                 *       }
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description The value. A number is always a floating-point one. `value` is absent if the flag gives null: take the code's default. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "key": "new-checkout",
                     *       "value": true,
                     *       "reason": "SPLIT",
                     *       "variant": "true",
                     *       "metadata": {
                     *         "flaggate_reason": "rollout"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["OfrepSuccess"];
                };
            };
        };
    };
    ofrepEvaluateFlags: {
        parameters: {
            query?: {
                /** @description The `etag` of the event that caused this request: the answer waits up to 1 s for that change, and is no 304 unless these flags are served */
                flagConfigEtag?: string;
                /** @description The `lastModified` of that event; the `etag` says more, so this one is not looked at */
                flagConfigLastModified?: string;
            };
            header?: {
                /** @description Entity tags of earlier answers */
                "If-None-Match"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        /** @description The evaluation context: the user's id as `targetingKey`, and attributes */
        requestBody?: {
            content: {
                /**
                 * @example {
                 *       "context": {
                 *         "targetingKey": "user-123",
                 *         "plan": "premium",
                 *         "country": "CA"
                 *       }
                 *     }
                 */
                "application/json": unknown;
            };
        };
        responses: {
            /** @description Every flag, by key, and where changes are told */
            200: {
                headers: {
                    /** @description Stands for this answer */
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "flags": [
                     *         {
                     *           "key": "limit",
                     *           "value": 10,
                     *           "reason": "STATIC",
                     *           "variant": "default",
                     *           "metadata": {
                     *             "flaggate_reason": "default"
                     *           }
                     *         },
                     *         {
                     *           "key": "new-checkout",
                     *           "errorCode": "TARGETING_KEY_MISSING",
                     *           "errorDetails": "the flag tells users apart by their id, and the context has no targetingKey"
                     *         }
                     *       ],
                     *       "eventStreams": [
                     *         {
                     *           "type": "sse",
                     *           "endpoint": {
                     *             "requestUri": "/ofrep/v1/events"
                     *           },
                     *           "inactivityDelaySec": 120
                     *         }
                     *       ],
                     *       "metadata": {
                     *         "flaggate_revision": "4b1c2d7e-9f7e-4a57-8d8a-0a3c6f6f2f11:42"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["OfrepBulk"];
                };
            };
        };
    };
    ofrepEvents: {
        parameters: {
            query?: {
                /** @description Instead of a token, for who cannot send headers; a bulk evaluation tells it as part of the stream's address */
                ticket?: string;
            };
            header?: {
                /** @description The last event that the client has seen */
                "Last-Event-ID"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events named `message`, with this as data */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "refetchEvaluation",
                     *       "etag": "4b1c2d7e-9f7e-4a57-8d8a-0a3c6f6f2f11:42",
                     *       "lastModified": 1771622898
                     *     }
                     */
                    "text/event-stream": components["schemas"]["OfrepEvent"];
                };
            };
        };
    };
    ways: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `routes` and `upstreams` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "routes": [
                     *         {
                     *           "name": "shop",
                     *           "match": {
                     *             "hosts": [],
                     *             "path_prefix": "/"
                     *           },
                     *           "upstream": "v1",
                     *           "flags": [
                     *             "theme"
                     *           ],
                     *           "strategies": [
                     *             {
                     *               "strategy": "canary",
                     *               "flag": "checkout-canary",
                     *               "ways": [
                     *                 {
                     *                   "variation": "true",
                     *                   "upstream": "v2"
                     *                 }
                     *               ]
                     *             }
                     *           ]
                     *         }
                     *       ],
                     *       "upstreams": [
                     *         {
                     *           "name": "v1",
                     *           "endpoints": [
                     *             {
                     *               "address": "127.0.0.1:8181",
                     *               "weight": 1,
                     *               "healthy": true,
                     *               "ejected": false
                     *             }
                     *           ]
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": unknown;
                };
            };
        };
    };
    docs: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
        };
    };
    part: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description its name */
                part: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the part */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
}
