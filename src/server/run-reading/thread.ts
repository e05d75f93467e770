import { parentPort, workerData } from "node:worker_threads";
import { InternalError } from "../../core/errors.ts";
import { failureOf } from "../../core/worker.ts";
import { RunFolder } from "../../evaluate/run-view.ts";
import type { Answer, Question } from "./messages.ts";

// The thread that reads the folders of runs: whole files, parsed at once, which would keep the event loop from serving.

if (!parentPort) throw new InternalError("runs thread: expected to run as a worker thread");
const port = parentPort;
const folder = new RunFolder(workerData as string);

function answer(question: Question): Answer {
  try {
    return { json: JSON.stringify(question.kind === "list" ? folder.list() : folder.read(question.id)) };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

port.on("message", (question: Question) => port.postMessage(answer(question)));
