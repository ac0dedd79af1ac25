"""Every step of the SDK's own start: what ``worker/sdk.py`` takes over, and what it leaves out and why.

A release of the SDK that adds a step fails a test until the step is named here.
"""

from typing import Final

#: The functions of the SDK that sdk.py stands in for, each with its module and its name in it.
REPLACED: Final = {
    "serverless.start": ("runpod.serverless", "start"),
    "worker.main": ("runpod.serverless.worker", "main"),
    "worker.run_worker": ("runpod.serverless.worker", "run_worker"),
    "JobScaler.start": ("runpod.serverless.modules.rp_scale", "JobScaler.start"),
    "rp_job.handle_job": ("runpod.serverless.modules.rp_job", "handle_job"),
    "rp_http._handle_result": ("runpod.serverless.modules.rp_http", "_handle_result"),
}

#: The steps of the SDK's own start that are taken here, and by which function.
DONE_HERE: Final = {
    "worker.run_worker: run_fitness_checks": "run_fitness_checks",
    "worker.run_worker: PingJobMirror": "start_heartbeat",
    "worker.run_worker: JobsProgress": "start_heartbeat",
    "worker.run_worker: JobsProgress().set_mirror": "start_heartbeat",
    "worker.run_worker: heartbeat.start_ping": "start_heartbeat",
    "worker.run_worker: rp_scale.JobScaler": "serve",
    "JobScaler.start: set sys.excepthook": "serve",
    "JobScaler.start: signal.signal(signal.SIGTERM)": "serve, on the event loop, so that handlers run between its steps",
    "JobScaler.start: signal.signal(signal.SIGINT)": "serve, on the event loop",
    "JobScaler.start: self.run": "serve",
    "worker.main: _is_local": "on_platform",
    "rp_job.handle_job: run_job": "_run_and_deliver",
    "rp_job.handle_job: send_result": "_run_and_deliver, which tries again where the SDK gives up",
    "rp_http._handle_result: json.dumps": "_run_and_deliver, in a thread",
    "rp_http._handle_result: url_template.replace": "_run_and_deliver",
    "rp_http._handle_result: set session.headers['X-Request-ID']": "_post",
    "rp_http._handle_result: _transmit": "_post",
    "rp_http._handle_result: log.error": "_report_loss",
}

#: The steps that are not taken, and why not.
LEFT_OUT: Final = {
    "worker.run_worker: asyncio.run": "bootstrap runs everything in one loop",
    "worker.run_worker: job_scaler.start": "its steps are taken one by one, on the loop that warmed up",
    "JobScaler.start: asyncio.run": "bootstrap runs everything in one loop",
    "JobScaler.start: log.warn": "the worker serves from the main thread, where signals work",
    "worker.main: asyncio.run": "for local modes, which serve_locally hands to the SDK whole",
    "worker.main: run_worker": "its steps are taken one by one",
    "worker.main: rp_local.run_local": "for local modes, which serve_locally hands to the SDK whole",
    "serverless.start: print": "the banner: our boot line says more",
    "serverless.start: signal.signal(signal.SIGINT)": "exits without finishing jobs; serve finishes them",
    "serverless.start: set config['reference_counter_start']": "read by the SDK's debugger only",
    "serverless.start: time.perf_counter": "read by the SDK's debugger only",
    "serverless.start: _set_config_args": "arguments are for local modes; on the platform settings come from the environment",
    "serverless.start: _get_realtime_port": "on_platform asks the same variable, and hands over",
    "serverless.start: _get_realtime_concurrency": "for the realtime mode, which serve_locally hands to the SDK whole",
    "serverless.start: log.info": "announces local modes",
    "serverless.start: rp_fastapi.WorkerAPI": "for local modes, which serve_locally hands to the SDK whole",
    "serverless.start: api_server.start_uvicorn": "for local modes, which serve_locally hands to the SDK whole",
    "serverless.start: worker.main": "its steps are taken one by one",
    "rp_job.handle_job: is_generator": "our handler is a coroutine function",
    "rp_job.handle_job: run_job_generator": "our handler is a coroutine function",
    "rp_job.handle_job: stream_result": "our handler is a coroutine function",
    "rp_job.handle_job: stream_output.get": "our handler is a coroutine function",
    "rp_job.handle_job: stream_output['output'].get": "our handler is a coroutine function",
    "rp_job.handle_job: job_result['output'].append": "our handler is a coroutine function",
    "rp_job.handle_job: str": "our handler is a coroutine function",
    "rp_job.handle_job: log.debug": "whole outputs do not belong in a log",
    "rp_job.handle_job: log.info": "announces refresh_worker, which the handler logs itself",
    "rp_job.handle_job: config.get": "our config asks for no refresh after every job and no aggregated stream",
    "rp_job.handle_job: config.get('rp_args', {}).get": "the SDK's debugger is for local modes",
    "rp_job.handle_job: isinstance": "the SDK's debugger is for local modes",
    "rp_job.handle_job: set job_result['stopPod']": "run_job sets it where the handler asks for refresh_worker",
    "rp_job.handle_job: set job_result['output']['rp_debugger']": "the SDK's debugger is for local modes",
    "rp_job.handle_job: set job_result['output']['rp_debugger']['ready_delay_ms']": "the SDK's debugger is for local modes",
    "rp_job.handle_job: rp_debugger.get_debugger_output": "the SDK's debugger is for local modes",
    "rp_job.handle_job: rp_debugger.clear_debugger_output": "the SDK's debugger is for local modes",
    "rp_http._handle_result: log.debug": "whole URLs do not belong in a log",
    "rp_http._handle_result: log.info": "says Finished. also of a result that was lost; the handler's own line says done",
    "rp_http._handle_result: job_data.get": "tells progress from results; only results come here",
}
