// talk.js WHAT URL [CA]: what MQTT.js says for the captures here.
const mqtt = require('mqtt'), fs = require('fs')
const [what, url, ca] = process.argv.slice(2)
const options = { clientId: 'node-' + what, reconnectPeriod: 0, keepalive: 25, ca: ca && fs.readFileSync(ca) }
if (what === 'aliases') {
	// Aliases of its own choice; the broker may use five
	Object.assign(options, { protocolVersion: 5, autoAssignTopicAlias: true, topicAliasMaximum: 5, properties: { topicAliasMaximum: 5, requestProblemInformation: false } })
}
const client = mqtt.connect(url, options)
const topics = ['alias/one', 'alias/two', 'alias/one', 'alias/two', 'alias/three', 'alias/one']
// Aliases: a message of somebody else comes first, so that the broker's numbers stand for other topics than ours
const rounds = what === 'aliases' ? 2 : 1, first = what === 'aliases' ? 1 : 0
let left = topics.length * rounds + first
const publish = payload => topics.forEach((topic, i) => client.publish(topic, payload(i), { qos: i % 3 }))
const begin = () => {
	publish(i => 'message ' + i)
	if (rounds > 1) setTimeout(() => publish(i => Buffer.from([i, 255, 0])), 100)
}
client.on('error', error => { console.error(String(error)); process.exit(1) })
client.on('message', () => {
	if (first && left === topics.length * rounds + 1) begin()
	if (--left === 0) client.unsubscribe('alias/#', () => client.end())
})
client.on('connect', () => client.subscribe({ 'alias/#': { qos: 2 } }, () => first || begin()))
setTimeout(() => { console.error('no answer'); process.exit(1) }, 8000).unref()
