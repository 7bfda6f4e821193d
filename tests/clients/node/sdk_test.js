// Couchbase's Node SDK against a cluster:
// node sdk_test.js couchbase://HOST:PORT USER PASSWORD BUCKET [couchbases://HOST:PORT CERTIFICATE]
//
// The package is looked for where NODE_PATH says. Each check prints "pass NAME" or "fail NAME: why"; the caller knows
// the names, so that a check which never ran is not taken for one that passed.
'use strict'
const assert = require('assert')
const couchbase = require('couchbase')

const [url, user, password, bucketName, secureUrl, certificate] = process.argv.slice(2)
const wait = ms => new Promise(done => setTimeout(done, ms))
let failed = 0

async function check(name, body) {
	try {
		await body()
		console.log(`pass ${name}`)
	} catch (e) {
		failed++
		console.log(`fail ${name}: ${String(e && e.stack || e).replace(/\n/g, ' | ')}`)
	}
}

// Until the answer is there: a collection is known to every node only after its manifest went round.
async function eventually(ms, body) {
	for (const until = Date.now() + ms; ;) {
		try {
			return await body()
		} catch (e) {
			if (Date.now() > until)
				throw e
			await wait(50)
		}
	}
}

async function documents(coll) {
	await check('upsert and get', async () => {
		const stored = await coll.upsert('a', { x: 1, text: 'é' })
		assert(stored.cas && stored.token, 'a CAS and a mutation token')
		const got = await coll.get('a')
		assert.deepStrictEqual(got.content, { x: 1, text: 'é' })
		assert.strictEqual(String(got.cas), String(stored.cas))
	})
	await check('get of a missing document', () =>
		assert.rejects(coll.get('nothing'), couchbase.DocumentNotFoundError))
	await check('insert', async () => {
		await coll.insert('b', { n: 1 })
		assert.deepStrictEqual((await coll.get('b')).content, { n: 1 })
	})
	await check('insert of one that exists', () =>
		assert.rejects(coll.insert('b', { n: 2 }), couchbase.DocumentExistsError))
	await check('replace with the right CAS', async () => {
		const { cas } = await coll.get('b')
		await coll.replace('b', { n: 3 }, { cas })
		assert.deepStrictEqual((await coll.get('b')).content, { n: 3 })
	})
	await check('replace with a wrong CAS', async () => {
		const { cas } = await coll.get('b')
		await coll.upsert('b', { n: 4 })
		await assert.rejects(coll.replace('b', { n: 5 }, { cas }), couchbase.CasMismatchError)
		assert.deepStrictEqual((await coll.get('b')).content, { n: 4 })
	})
	await check('replace of a missing document', () =>
		assert.rejects(coll.replace('nothing', {}), couchbase.DocumentNotFoundError))
	await check('remove', async () => {
		await coll.remove('b')
		await assert.rejects(coll.get('b'), couchbase.DocumentNotFoundError)
		await assert.rejects(coll.remove('b'), couchbase.DocumentNotFoundError)
	})
	await check('insert after a remove', async () => {
		await coll.insert('b', [1, 2, 3])
		assert.deepStrictEqual((await coll.get('b')).content, [1, 2, 3])
	})
	await check('expiry', async () => {
		await coll.upsert('short', 'life', { expiry: 3 })
		assert.strictEqual((await coll.get('short')).content, 'life')
		await eventually(30000, () => assert.rejects(coll.get('short'), couchbase.DocumentNotFoundError))
	})
	await check('touch lets a document live longer', async () => {
		await coll.upsert('long', 'life', { expiry: 3 })
		await coll.touch('long', 600)
		await wait(4500)
		assert.strictEqual((await coll.get('long')).content, 'life')
	})
	await check('exists', async () => {
		assert.strictEqual((await coll.exists('a')).exists, true)
		assert.strictEqual((await coll.exists('nothing')).exists, false)
	})
	await check('binary values', async () => {
		const bytes = Buffer.from([0, 1, 2, 0xff, 0xfe, 0])
		const transcoder = { encode: v => [v, 0x03000000], decode: v => v }
		await coll.upsert('raw', bytes, { transcoder })
		assert(bytes.equals((await coll.get('raw', { transcoder })).content))
	})
	await check('a compressible value of 200 KB', async () => {
		const big = { text: 'weir '.repeat(40000) }
		await coll.upsert('big', big)
		assert.deepStrictEqual((await coll.get('big')).content, big)
	})
	await check('500 documents in all vBuckets', async () => {
		const keys = [...Array(500).keys()].map(i => `many-${i}`)
		await Promise.all(keys.map((key, i) => coll.upsert(key, { i })))
		const got = await Promise.all(keys.map(key => coll.get(key)))
		got.forEach((one, i) => assert.deepStrictEqual(one.content, { i }))
	})
	await check('sub-document lookup and mutation', async () => {
		await coll.upsert('sub', { deep: { n: 1 } })
		await coll.mutateIn('sub', [couchbase.MutateInSpec.upsert('meta', { by: 'sdk' }, { xattr: true })])
		const got = await coll.lookupIn('sub', [couchbase.LookupInSpec.get('meta', { xattr: true }),
			couchbase.LookupInSpec.get('')])
		assert.deepStrictEqual(got.content[0].value, { by: 'sdk' })
		assert.deepStrictEqual(got.content[1].value, { deep: { n: 1 } })
	})
}

async function collections(bucket) {
	const manager = bucket.collections()
	await check('a scope and a collection are made', async () => {
		await manager.createScope('shop')
		await manager.createCollection('orders', 'shop')
		const scopes = await manager.getAllScopes()
		const shop = scopes.find(s => s.name === 'shop')
		assert.deepStrictEqual(shop.collections.map(c => c.name), ['orders'])
	})
	await check('a scope that exists is refused', () =>
		assert.rejects(manager.createScope('shop'), couchbase.ScopeExistsError))
	await check('a collection that exists is refused', () =>
		assert.rejects(manager.createCollection('orders', 'shop'), couchbase.CollectionExistsError))
	await check('the new collection is used', async () => {
		const orders = bucket.scope('shop').collection('orders')
		await eventually(30000, () => orders.upsert('a', { order: 7 }))
		assert.deepStrictEqual((await orders.get('a')).content, { order: 7 })
		assert.deepStrictEqual((await bucket.defaultCollection().get('a')).content, { x: 1, text: 'é' })
	})
	await check('a dropped collection is gone', async () => {
		await manager.dropCollection('orders', 'shop')
		await manager.dropScope('shop')
		assert(!(await manager.getAllScopes()).some(s => s.name === 'shop'))
	})
}

async function secure() {
	await check('login over TLS', async () => {
		const cluster = await couchbase.connect(secureUrl, { username: user, password,
			security: { trustStorePath: certificate } })
		const coll = cluster.bucket(bucketName).defaultCollection()
		await coll.upsert('secret', { tls: true })
		assert.deepStrictEqual((await coll.get('secret')).content, { tls: true })
		await cluster.close()
	})
	await check('a certificate that is not trusted is refused', () => assert.rejects(
		couchbase.connect(secureUrl, { username: user, password, timeouts: { bootstrapTimeout: 3000 } })))
}

async function main() {
	await check('a wrong password is refused', () => assert.rejects(
		couchbase.connect(url, { username: user, password: 'wrong', timeouts: { bootstrapTimeout: 60000 } }),
		couchbase.AuthenticationFailureError))
	let cluster
	await check('login', async () => {
		cluster = await couchbase.connect(url, { username: user, password })
	})
	if (cluster) {
		const bucket = cluster.bucket(bucketName)
		await documents(bucket.defaultCollection())
		await collections(bucket)
		await check('ping', async () => {
			const report = await bucket.ping({ serviceTypes: [couchbase.ServiceType.KeyValue] })
			assert(report.services.kv.length > 0)
			report.services.kv.forEach(s => assert.strictEqual(s.state, 0))
		})
		await cluster.close()
	}
	if (secureUrl)
		await secure()
	process.exitCode = failed ? 1 : 0
}

main()
