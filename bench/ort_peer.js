// ONNX Runtime through node: optimises an exported graph once, and answers once for the cold start of a node process.
//
//     node ort_peer.js MODULES prepare MODEL.onnx OUT.onnx         writes OUT.onnx and OUT.onnx.data
//     node ort_peer.js MODULES once    OUT.onnx INPUT.raw THREADS  prints the first number of the answer
//
// MODULES is the folder that holds onnxruntime-node. Weights beside the graph are mapped, not parsed: that is the
// form in which ONNX Runtime starts fastest. INPUT.raw is a bare tensor: float32, or int32 widened to int64.
'use strict';
const fs = require('fs');
const path = require('path');

async function main() {
  const [modules, action, model, file, threads] = process.argv.slice(2);
  const ort = require(path.join(path.resolve(modules), 'onnxruntime-node'));
  const options = { executionProviders: ['cpu'], executionMode: 'sequential', interOpNumThreads: 1, logSeverityLevel: 3 };
  if (action === 'prepare') {
    Object.assign(options, {
      graphOptimizationLevel: 'all',
      optimizedModelFilePath: path.resolve(file),
      extra: {
        session: {
          optimized_model_external_initializers_file_name: `${path.basename(file)}.data`,
          optimized_model_external_initializers_min_size_in_bytes: '1024',
        },
      },
    });
    await ort.InferenceSession.create(path.resolve(model), options);
  } else if (action === 'once') {
    Object.assign(options, { graphOptimizationLevel: 'disabled', intraOpNumThreads: Number(threads) });
    const session = await ort.InferenceSession.create(path.resolve(model), options);
    const meta = session.inputMetadata[0];
    const bytes = fs.readFileSync(file);
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    const values = meta.type === 'int64' ? BigInt64Array.from(new Int32Array(buffer), BigInt) : new Float32Array(buffer);
    const result = await session.run({ [meta.name]: new ort.Tensor(meta.type, values, meta.shape) });
    fs.writeSync(1, `answer ${result[session.outputNames[0]].data[0]}\n`);
    process.exit(0);
  } else {
    throw new Error('usage: ort_peer.js MODULES prepare|once ...');
  }
}

main().catch((error) => {
  console.error(`ort_peer: ${error.message}`);
  process.exit(1);
});
